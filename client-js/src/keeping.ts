/** What a person sent and the server has not accepted, kept for the page's next life. */

import type { ParleyError } from "./errors.ts";
import type { ChatFrame, EditFrame, RegenerateFrame } from "./frames.ts";
import type { Store } from "./outside.ts";

export type Asking = ChatFrame | EditFrame | RegenerateFrame;

export interface Kept {
  readonly frame: Asking;
  /** RFC 3339. */
  readonly at: string;
  /** Who wrote it, where that was known: somebody else must not send it as theirs. */
  readonly by?: string;
  /** Why it was refused, where it was. */
  readonly refused?: Pick<ParleyError, "code" | "message" | "retryable">;
  /** It is to be stopped as soon as it is accepted. */
  readonly stopping?: true;
}

/** What a conversation kept; under no name, those of all that keep something, for a store cannot be asked what it has. */
export function load<Item = Kept>(store: Store, prefix: string, name = ""): readonly Item[] {
  try {
    const kept: unknown = JSON.parse(store.getItem(prefix + name) ?? "");
    if (Array.isArray(kept)) return kept as Item[];
  } catch {} // nothing there, or nothing of ours
  return [];
}

export function save(store: Store, prefix: string, name: string, kept: readonly Kept[]): void {
  const names = load<string>(store, prefix);
  const write = (to: string, list: readonly unknown[]): void => {
    if (list.length) store.setItem(prefix + to, JSON.stringify(list));
    else store.removeItem(prefix + to);
  };
  write(name, kept);
  if (names.includes(name) !== kept.length > 0)
    write("", kept.length ? [...names, name] : names.filter((one) => one !== name));
}

const NEW = 20; // conversations without a name, in one tab
const taken = new WeakMap<Store, Set<string>>();

/** The first place of a new conversation that nobody here holds: one that has something, or one that has nothing. */
export function place(store: Store, prefix: string, full: boolean): string | undefined {
  const held = taken.get(store) ?? new Set();
  taken.set(store, held);
  for (let at = 0; at < NEW; at++) {
    const name = `new ${at}`;
    if (held.has(prefix + name) || (store.getItem(prefix + name) !== null) !== full) continue;
    held.add(prefix + name);
    return name;
  }
  return undefined;
}

export function leave(store: Store, prefix: string, name: string): void {
  taken.get(store)?.delete(prefix + name);
}
