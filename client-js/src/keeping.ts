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
  readonly by: string | undefined;
  /** Why it was refused, where it was. */
  readonly refused: Pick<ParleyError, "code" | "message" | "retryable"> | undefined;
  /** It is to be stopped as soon as it is accepted. */
  readonly stopping: boolean | undefined;
}

/** All that is kept, by conversation, in one place: a store cannot be asked what else it has. */
export function load(store: Store, key: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(store.getItem(key) ?? "")) as Record<string, unknown>;
  } catch {
    return {}; // nothing there, or nothing of ours
  }
}

export function keptIn(all: Readonly<Record<string, unknown>>, name = ""): readonly Kept[] {
  const found = all[name];
  return Array.isArray(found) ? (found as Kept[]) : [];
}

/** In place of what was `held` here before; what another object of the same conversation keeps beside it stays. */
export function save(
  store: Store,
  key: string,
  name: string | undefined,
  kept: readonly Kept[],
  held: ReadonlySet<string>,
): void {
  if (name === undefined) return;
  const { [name]: _, ...all } = load(store, key);
  const others = keptIn(load(store, key), name).filter(({ frame }) => !held.has(frame.id));
  if (kept.length + others.length) all[name] = [...others, ...kept];
  if (Object.keys(all).length) store.setItem(key, JSON.stringify(all));
  else store.removeItem(key);
}

const NEW = 20; // conversations without a name, in one tab
const taken = new WeakMap<Store, Set<string>>();

/** The first name for a new conversation that nobody here holds: one that has something, or one that has nothing. */
export function place(store: Store, key: string, full: boolean): string | undefined {
  const held = taken.get(store) ?? new Set();
  taken.set(store, held);
  const all = load(store, key);
  for (let at = 0; at < NEW; at++) {
    const name = `new ${at}`;
    if (held.has(key + name) || name in all !== full) continue;
    held.add(key + name);
    return name;
  }
  return undefined;
}

export function leave(store: Store, key: string, name: string | undefined): void {
  taken.get(store)?.delete(key + name);
}
