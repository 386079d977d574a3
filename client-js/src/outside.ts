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
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface Outside {
  /** Milliseconds that only go on. */
  now(): number;
  /** Does `task` after so many milliseconds; what it returns calls that off. */
  after(ms: number, task: () => void): () => void;
  /** Anything in [0, 1). */
  chance(): number;
  fetch(url: string, init: RequestInit): Promise<Response>;
  readonly WebSocket: WebSocketClass | undefined;
  /** For this tab alone, where there is one. */
  readonly tab: Store | undefined;
  /** For all tabs of this site. */
  readonly site: Store;
  /** Does `task` while no other tab does one of this name, as far as tabs can know of each other. */
  alone<Value>(name: string, task: () => Promise<Value>): Promise<Value>;
}

export const world: Outside = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, Math.min(ms, 2 ** 31 - 1)); // more would be none at all
    return () => clearTimeout(timer);
  },
  chance: Math.random,
  fetch: (url, init) => fetch(url, init),
  WebSocket: globalThis.WebSocket,
  tab: typeof document === "undefined" ? undefined : safe(() => sessionStorage),
  site: safe(() => localStorage),
  alone: async (name, task) => {
    const { locks } = globalThis.navigator ?? {}; // none in Node, nor without TLS
    return locks ? locks.request(name, task) : task();
  },
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
  return {
    getItem: (key) => memory.get(key) ?? attempt((held) => held.getItem(key)) ?? null,
    setItem(key, value) {
      memory.set(key, value);
      const kept = attempt((held) => {
        held.setItem(key, value);
        return true;
      });
      if (kept) memory.delete(key);
      else attempt((held) => held.removeItem(key)); // or what is older would be found
    },
    removeItem(key) {
      memory.delete(key);
      attempt((held) => held.removeItem(key));
    },
  };
}

/** A name that nobody else gives: 128 bits, also where a page without TLS has no `randomUUID`. */
export function mint(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
