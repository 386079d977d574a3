/** When a client may try again, so that a server coming back meets no herd. */

import { LONGEST_MS } from "./limits.ts";

/** Full jitter, in milliseconds: anything up to a bound that doubles; `chance` in [0, 1). */
export function delay(failures: number, chance: number): number {
  return chance * Math.min(LONGEST_MS, 500 * 2 ** failures);
}
