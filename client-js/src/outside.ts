/** Everything beyond the program: time, chance, the network, memory that outlives a page. */

/** A WebSocket class: the browser's own, or that of `ws`. */
export type WebSocketClass = new (
  url: string,
  protocols: string[],
) => {
  binaryType: string;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
};

/** A place for small texts; `sessionStorage` is one. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export interface Outside {
  /** Milliseconds that only go on. */
  now(): number;
  /** Does `task` after so many milliseconds; what it returns calls that off. */
  after(ms: number, task: () => void): () => void;
  /** Anything in [0, 1). */
  chance(): number;
  fetch(url: string, init: RequestInit): Promise<Response>;
  readonly WebSocket: WebSocketClass | undefined;
  /** For this tab alone. */
  readonly tab: Store;
  /** For all tabs of this site. */
  readonly site: Store;
}

export const world: Outside = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
  chance: Math.random,
  fetch: (url, init) => fetch(url, init),
  WebSocket: globalThis.WebSocket,
  tab: safe(() => sessionStorage),
  site: safe(() => localStorage),
};

/** A store that forgets at worst: private windows and full disks throw, and Node has none at all. */
export function safe(store: () => Store | null | undefined): Store {
  const memory = new Map<string, string>();
  const attempt = <Value>(use: (store: Store) => Value): Value | undefined => {
    try {
      const found = store();
      return found ? use(found) : undefined;
    } catch {
      return undefined;
    }
  };
  const removeItem = (key: string): void => {
    memory.delete(key);
    attempt((held) => held.removeItem(key));
  };
  return {
    removeItem,
    getItem: (key) => memory.get(key) ?? attempt((held) => held.getItem(key)) ?? null,
    setItem(key, value) {
      removeItem(key); // a write that fails leaves nothing older behind
      const kept = attempt((held) => {
        held.setItem(key, value);
        return true;
      });
      if (!kept) memory.set(key, value);
    },
  };
}

/** A name that nobody else gives: 128 bits, also where a page without TLS has no `randomUUID`. */
export function mint(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
