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

export function load(store: Store, key: string | undefined): readonly Kept[] {
  try {
    const kept: unknown = JSON.parse((key !== undefined && store.getItem(key)) || "");
    if (Array.isArray(kept)) return kept as Kept[];
  } catch {} // nothing there, or nothing of ours
  return [];
}

export function save(store: Store, key: string, kept: readonly Kept[]): void {
  if (kept.length) store.setItem(key, JSON.stringify(kept));
  else store.removeItem(key);
}

const NEW = 20; // conversations without a name, in one tab
const taken = new WeakMap<Store, Set<string>>();

/** The first place of a new conversation that nobody here holds: one that has something, or one that has nothing. */
export function place(store: Store, prefix: string, full: boolean): string | undefined {
  const held = taken.get(store) ?? new Set();
  taken.set(store, held);
  for (let at = 0; at < NEW; at++) {
    const key = `${prefix}new ${at}`;
    if (held.has(key) || (store.getItem(key) !== null) !== full) continue;
    held.add(key);
    return key;
  }
  return undefined;
}

export function leave(store: Store, key: string | undefined): void {
  if (key !== undefined) taken.get(store)?.delete(key);
}
