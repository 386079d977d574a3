/** Icons: what each is called, and its strokes on a grid of 24. Each is one by itself, so that a file has those that it shows. */

export type Icon = readonly [name: string, strokes: string];

export const chat: Icon = ["chat", "M21 12a8 8 0 0 1-8 8H4l1.8-3.2A8 8 0 1 1 21 12Z"];
export const close: Icon = ["close", "M6 6l12 12M18 6L6 18"];
export const add: Icon = ["add", "M12 5v14M5 12h14"];
export const list: Icon = ["list", "M4 7h16M4 12h16M4 17h10"];
export const send: Icon = ["send", "M12 19V5M6 11l6-6 6 6"];
export const stop: Icon = ["stop", "M7 7h10v10H7Z"];
export const copy: Icon = ["copy", "M9 9h11v11H9ZM5 15H4V4h11v1"];
export const again: Icon = ["again", "M20 11a8 8 0 1 0-2.3 6.7M20 4v7h-7"];
export const edit: Icon = ["edit", "M4 20l1-4L16.5 4.5l3 3L8 19l-4 1Z"];
export const up: Icon = [
  "up",
  "M7 11l4-8c1.7 0 2.6 1.2 2.3 2.8L12.7 9H18a2 2 0 0 1 2 2.3l-1.1 7a2 2 0 0 1-2 1.7H4v-9h3v9",
];
export const down: Icon = [
  "down",
  "M7 13l4 8c1.7 0 2.6-1.2 2.3-2.8l-.6-3.2H18a2 2 0 0 0 2-2.3l-1.1-7a2 2 0 0 0-2-1.7H4v9h3V4",
];
export const back: Icon = ["back", "M14 6l-6 6 6 6"];
export const next: Icon = ["next", "M10 6l6 6-6 6"];
export const more: Icon = ["more", "M5 12h.01M12 12h.01M19 12h.01"];
export const latest: Icon = ["latest", "M12 5v14M6 13l6 6 6-6"];
export const done: Icon = ["done", "M5 13l4 4L19 7"];
export const cut: Icon = [
  "cut",
  "M3 3l18 18M8.5 15.5a5 5 0 0 1 7 0M5 12a10 10 0 0 1 5-2.7M19 12a10 10 0 0 0-5-2.7M12 19h.01",
];
