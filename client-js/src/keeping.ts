/** What a person sent and the server has not accepted, kept for the page's next life. */

import type { ParleyError } from "./errors.ts";
import type { ChatFrame, EditFrame, RegenerateFrame } from "./frames.ts";
import type { Store } from "./outside.ts";

export type Asking = ChatFrame | EditFrame | RegenerateFrame;

export interface Kept {
  readonly frame: Asking;
  /** RFC 3339. */
  readonly at: string;
  /** Why it was refused for good, where it was. */
  readonly refused?: { readonly code: ParleyError["code"]; readonly message: string };
}

interface Shelf {
  /** Who sent it, where that was known: somebody else must not send it as theirs. */
  readonly user?: string | undefined;
  readonly kept: readonly Kept[];
}

export function load(store: Store, key: string): Shelf {
  try {
    const shelf = JSON.parse(store.getItem(key) ?? "") as Shelf;
    if (Array.isArray(shelf.kept)) return shelf;
  } catch {} // nothing there, or nothing of ours
  return { kept: [] };
}

export function save(store: Store, key: string, shelf: Shelf): void {
  if (shelf.kept.length) store.setItem(key, JSON.stringify(shelf));
  else store.removeItem(key);
}
