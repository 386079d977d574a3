/** A list of the frames that come and go, for the curious. */

import type { ClientFrame, ServerFrame } from "../frames.ts";

/** A frame, and whether it came in or went out. */
export interface Seen {
  readonly direction: "in" | "out";
  readonly frame: ClientFrame | ServerFrame;
}

/** The part of a client that is needed to see them. */
export interface Watched {
  on(event: "frame", heard: (seen: Seen) => void): unknown;
}

const KEPT = 200; // rows, the newest
const END_PX = 8; // whoever is that near to the end is kept there

/** Fills `rows` with what `watch` sees, once per picture and only while `box` is open. */
export function frameList(
  box: HTMLDetailsElement,
  rows: HTMLElement,
  count: HTMLElement,
): (client: Watched) => void {
  const waiting: Seen[] = [];
  let total = 0;
  let due = false;

  function show(): void {
    due = false;
    count.textContent = `(${total})`;
    if (!box.open) return;
    const atEnd = rows.scrollHeight - rows.scrollTop - rows.clientHeight < END_PX;
    rows.append(...waiting.splice(0).map(row));
    while (rows.childElementCount > KEPT) rows.firstElementChild?.remove();
    if (atEnd) rows.scrollTop = rows.scrollHeight;
  }

  function soon(): void {
    if (!due) requestAnimationFrame(show);
    due = true;
  }

  box.addEventListener("toggle", soon);
  return (client) => {
    client.on("frame", (seen) => {
      total += 1;
      waiting.push(seen);
      if (waiting.length > KEPT) waiting.shift();
      soon();
    });
  };
}

/** Of its frames the client leaves out what is secret. */
function row({ direction, frame: { type, ...fields } }: Seen): HTMLElement {
  const item = document.createElement("li");
  item.className = direction;
  const name = document.createElement("b");
  name.textContent = `${direction === "in" ? "← came" : "→ sent"} ${type} `;
  const rest = document.createElement("code");
  rest.textContent = JSON.stringify(fields);
  item.append(name, rest);
  return item;
}
