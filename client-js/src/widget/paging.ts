/** Rows of one page. The browser skips layout and paint of pages out of sight; of single rows it would cost twice that. */
export const PAGE = 50;

/** How near the end a reader still follows it, in px. */
const NEAR = 40;

/** How rows become others: so many come before the first one shown, so many of those shown stay, the rest goes. */
export interface Difference {
  readonly before: number;
  readonly same: number;
}

export function difference(shown: readonly string[], wanted: readonly string[]): Difference {
  const first = shown[0];
  const before = first === undefined ? -1 : wanted.indexOf(first);
  if (before < 0) return { before: 0, same: 0 };
  let same = 0;
  while (same < shown.length && shown[same] === wanted[before + same]) same++;
  return { before, same };
}

/** What of a scrolling box decides. */
export interface Position {
  readonly scrollTop: number;
  readonly scrollHeight: number;
  readonly clientHeight: number;
}

/**
 * Whether the end is followed after a scroll. Only a move upwards lets go: text that grew since the last scroll also
 * makes the end far, and that is nobody's wish. Only a move downwards, or the end itself, takes it up again.
 */
export function follows(following: boolean, now: Position, lastTop: number): boolean {
  const left = now.scrollHeight - now.clientHeight - now.scrollTop;
  if (left < 1) return true;
  if (now.scrollTop < lastTop) return false; // however slowly: a finger goes a few px per frame
  return following || (now.scrollTop > lastTop && left <= NEAR);
}
