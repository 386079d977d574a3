/** So long, in ms, a view is left alone behind a change: more than one frame of a usual screen and less than two. */
const REST = 20;

/**
 * When a view shows what has changed: once for however many changes, before a frame is painted, and then not for as long
 * as that took, its paint included. Text that grows thirty times a second reads no worse than in every frame, and the
 * page around it keeps half of the processor, however slow that is.
 */
export class Pace {
  readonly #show: () => void;
  #wanted = false;
  #cancel: (() => void) | undefined;

  constructor(show: () => void) {
    this.#show = show;
  }

  soon(): void {
    if (this.#cancel) this.#wanted = true;
    else this.#begin();
  }

  /** What has changed since is not shown any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wanted = false;
  }

  #begin(): void {
    const frame = requestAnimationFrame(() => {
      const began = performance.now();
      this.#wanted = false;
      // A timer's turn comes when the frame has been painted.
      this.#after(0, () =>
        this.#after(Math.max(REST, performance.now() - began), () => this.#end()),
      );
      this.#show();
    });
    this.#cancel = () => cancelAnimationFrame(frame);
  }

  #end(): void {
    this.#cancel = undefined;
    if (this.#wanted) this.#begin();
  }

  #after(ms: number, task: () => void): void {
    const timer = setTimeout(task, ms);
    this.#cancel = () => clearTimeout(timer);
  }
}
