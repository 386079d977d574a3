/** Reproducible chance for property tests (mulberry32). */

export interface Dice {
  /** In [0, 1). */
  (): number;
  pick<Of>(many: readonly Of[]): Of;
  upTo(most: number): number;
}

export function dice(seed: number): Dice {
  let state = seed;
  const throwOne = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const upTo = (most: number): number => Math.floor(throwOne() * (most + 1));
  const pick = <Of>(many: readonly Of[]): Of => many[upTo(many.length - 1)] as Of;
  return Object.assign(throwOne, { pick, upTo });
}
