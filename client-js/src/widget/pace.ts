/** How long, in ms, a view is left alone behind a change at least: for more than one frame of a usual screen. */
const REST = 20;

/** And at most: what was put away for hours in the middle of a frame did not paint for hours. */
const LONGEST = 1000;

/**
 * When a view shows what has changed: once for however many changes, before a frame is painted, and then not for as long
 * as that took, its paint included. Text that grows some thirty times a second reads no worse than in every frame, and
 * the page around it keeps half of the processor, however slow that is.
 */
export class Pace {
  readonly #show: () => void;
  #frame = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #wanted = false;

  constructor(show: () => void) {
    this.#show = show;
  }

  soon(): void {
    if (this.#rest) this.#wanted = true;
    else this.#frame ||= requestAnimationFrame(() => this.#inFrame());
  }

  /** Somebody did something: what comes of it is shown in the next frame. */
  hurry(): void {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    if (this.#wanted) this.soon();
  }

  /** What has changed since is not shown any more. */
  stop(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#wanted = false;
    this.hurry();
  }

  #inFrame(): void {
    const began = performance.now();
    this.#frame = 0;
    this.#wanted = false;
    // A timer's turn comes when the frame has been painted.
    this.#rest = setTimeout(() => {
      const took = performance.now() - began;
      this.#rest = setTimeout(() => this.hurry(), Math.min(LONGEST, Math.max(REST, took)));
    });
    this.#show();
  }
}
