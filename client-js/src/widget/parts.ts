import { found } from "./found.ts";
import { style } from "./styles.ts";

type Found = typeof found;
export type PartName = keyof Found;
export type Part<N extends PartName> = Awaited<ReturnType<Found[N]>>;

/** How long to wait before another attempt, at first and at most; the network's return ends every wait. */
const FIRST_MS = 1000;
const MOST_MS = 30_000;

const there = new Map<PartName, unknown>();
const asked = new Map<PartName, Promise<unknown>>();
let failures = 0;

/** A part that is there already. */
export function here<N extends PartName>(name: N): Part<N> | undefined {
  return there.get(name) as Part<N> | undefined;
}

/** Asks for a part, once for all who want it; what failed is asked for anew by the next one. */
export function part<N extends PartName>(name: N): Promise<Part<N>> {
  let asking = asked.get(name) as Promise<Part<N>> | undefined;
  if (!asking) {
    asking = load(name);
    asked.set(name, asking);
    asking.catch(() => asked.delete(name));
  }
  return asking;
}

async function load<N extends PartName>(name: N): Promise<Part<N>> {
  try {
    // Browsers remember of an address that it failed, so that each attempt needs another one.
    const find: (attempt: number) => Promise<unknown> = found[name];
    const brought = (await find(failures)) as Part<N> & { readonly styles?: string };
    if (brought.styles) style(brought.styles);
    there.set(name, brought);
    return brought;
  } catch (error) {
    failures++;
    throw error;
  }
}

/** Brings a part, however long it takes, unless nobody wants it any more; `failed` hears how often it did not work. */
export async function bring(
  name: PartName,
  wanted: AbortSignal,
  failed: (times: number) => void,
): Promise<boolean> {
  for (let times = 1; !wanted.aborted; times++) {
    try {
      await part(name);
      return !wanted.aborted;
    } catch {
      if (wanted.aborted) break;
      failed(times);
      await pause(Math.min(FIRST_MS * 2 ** (times - 1), MOST_MS), wanted);
    }
  }
  return false;
}

function pause(ms: number, wanted: AbortSignal): Promise<void> {
  return new Promise((over) => {
    const end = (): void => {
      clearTimeout(timer);
      removeEventListener("online", end);
      wanted.removeEventListener("abort", end);
      over();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    wanted.addEventListener("abort", end);
  });
}
