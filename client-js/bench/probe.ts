/** What is measured in the page itself. */

/** How the frames of a while came. */
export interface Frames {
  readonly fps: number;
  /** In ms, from one to the next. */
  readonly p99: number;
  readonly worst: number;
  /** Long tasks. */
  readonly long: number;
  /** How often in a second what is shown was another. */
  readonly changes: number;
}

export interface Probe {
  rows(): number;
  watch(): void;
  watched(): Frames;
  listen(): void;
  slowKey(count: number): number;
  scrollUp(step: number): Promise<{ jumps: number; worst: number }>;
}

/** Makes `probe` in a page. */
export const PROBE = `(${probing})()`;

function probing(): void {
  const root = (): Document | ShadowRoot =>
    document.querySelector("parley-chat")?.shadowRoot ?? document;
  const log = (): HTMLElement => root().querySelector("[role=log]") as HTMLElement;
  let frames: number[] = [];
  let long = 0;
  let watching = 0;
  let changed = 0;
  const changes = new MutationObserver(() => changed++);
  let keys: number[] = [];
  new PerformanceObserver((list) => {
    long += list.getEntries().length;
  }).observe({ type: "longtask" });
  /** The message that stands so many px below the top. */
  const rowAt = (px: number): Element | undefined => {
    const { left, top } = log().getBoundingClientRect();
    const [found] = root()
      .elementsFromPoint(left + 40, top + px)
      .flatMap((element) => element.closest("article") ?? []);
    return found;
  };
  const made: Probe = {
    rows: () => root().querySelectorAll("article").length,
    watch() {
      frames = [];
      long = 0;
      changed = 0;
      changes.observe(log(), { characterData: true, childList: true, subtree: true });
      let last = performance.now();
      const look = (now: number): void => {
        frames.push(now - last);
        last = now;
        watching = requestAnimationFrame(look);
      };
      watching = requestAnimationFrame(look);
    },
    watched() {
      cancelAnimationFrame(watching);
      changes.disconnect();
      const [, ...sorted] = frames.sort((a, b) => a - b);
      const passed = sorted.reduce((sum, each) => sum + each, 0);
      return {
        fps: (1000 * sorted.length) / passed,
        p99: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
        worst: sorted.at(-1) ?? Number.NaN,
        long,
        changes: (1000 * changed) / passed,
      };
    },
    listen() {
      keys = [];
      new PerformanceObserver((list) => {
        for (const { name, duration } of list.getEntries())
          if (name === "keydown") keys.push(duration);
      }).observe({ type: "event", durationThreshold: 16 } as PerformanceObserverInit);
    },
    // Keys that took less than 16 ms are not told of.
    slowKey(count) {
      const all = [...Array<number>(Math.max(0, count - keys.length)).fill(16), ...keys];
      return all.sort((a, b) => a - b)[Math.floor(all.length * 0.95)] ?? Number.NaN;
    },
    async scrollUp(step) {
      const box = log();
      const more = (): Element | null => box.querySelector(":scope > .plain:not([hidden])");
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      const found = { jumps: 0, worst: 0 };
      while (box.scrollTop > 0 || more()) {
        const at = rowAt(60);
        const before = at?.getBoundingClientRect().top ?? 0;
        const from = box.scrollTop;
        box.scrollTop -= step;
        const asked = from - box.scrollTop;
        await frame();
        await frame();
        const off = at?.isConnected ? at.getBoundingClientRect().top - before - asked : 0;
        if (Math.abs(off) > 8) found.jumps++;
        found.worst = Math.max(found.worst, Math.abs(off));
      }
      return found;
    },
  };
  Object.assign(globalThis, { probe: made });
}
