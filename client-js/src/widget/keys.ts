/** What of a key event decides. */
export interface Key {
  readonly key: string;
  readonly keyCode: number;
  readonly isComposing: boolean;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

/**
 * Whether a key belongs to an input method that is composing. Safari ends the composition before it tells of the key
 * that ended it; only the old code 229 still says so.
 */
export function composes({ isComposing, keyCode }: Pick<Key, "isComposing" | "keyCode">): boolean {
  return isComposing || keyCode === 229;
}

/** Enter sends; with Shift, Alt or while composing it is a line break or the input method's. */
export function sends(key: Key): boolean {
  return key.key === "Enter" && !key.shiftKey && !key.altKey && !composes(key);
}

/** Which of `count` messages is next for a key, from the one at `at` (-1: none yet); undefined: not such a key. */
export function moves(key: Key, at: number, count: number): number | undefined {
  if (key.ctrlKey || key.metaKey || key.altKey || key.shiftKey || count === 0) return undefined;
  switch (key.key) {
    case "ArrowUp":
      return Math.max(at < 0 ? count - 1 : at - 1, 0);
    case "ArrowDown":
      return Math.min(at < 0 ? count - 1 : at + 1, count - 1);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return undefined;
  }
}
