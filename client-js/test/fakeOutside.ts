/** The world of a test: time stands still until it is moved on, and chance is what the test says. */

import { type Outside, type Store, safe } from "../src/outside.ts";
import type { FakeServer } from "./fakeServer.ts";

interface Task {
  readonly at: number;
  readonly run: () => void;
}

export class FakeOutside implements Outside {
  chanced = 0.5;
  readonly tab: Store;
  readonly site: Store;
  readonly WebSocket: Outside["WebSocket"];
  readonly requests: { readonly url: string; readonly init: RequestInit }[] = [];
  answer: (url: string, init: RequestInit) => Response | Promise<Response> = () =>
    new Response("{}", { status: 404 });
  /** How many timers were set so far. */
  timers = 0;
  #now = 0;
  readonly #tasks = new Set<Task>();

  /** `before`: the world of the page that was there, as far as a reload leaves it, or of another tab. */
  constructor(server: FakeServer, before?: FakeOutside, tab = before?.tab) {
    this.WebSocket = server.socketClass;
    this.tab = safe(() => tab);
    this.site = before?.site ?? safe(() => undefined);
  }

  alone = <Value>(_: string, task: () => Promise<Value>): Promise<Value> => task();

  now = (): number => this.#now;

  chance = (): number => this.chanced;

  after = (ms: number, run: () => void): (() => void) => {
    const task = { at: this.#now + ms, run };
    this.timers++;
    this.#tasks.add(task);
    return () => void this.#tasks.delete(task);
  };

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    this.requests.push({ url, init });
    return this.answer(url, init);
  };

  /** How many timers are to come. */
  get waiting(): number {
    return this.#tasks.size;
  }

  /** Lets time go on, and everything happen that is due meanwhile. */
  async pass(ms: number): Promise<void> {
    await quiet();
    const until = this.#now + ms;
    for (;;) {
      const due = [...this.#tasks].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#tasks.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
      await quiet();
    }
    this.#now = until;
    await quiet();
  }
}

/** Until everything has happened that needs no time. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
