/** The least that a chat can be, for comparison: rows of plain text, and one text that grows once per frame. */

import type { ServerFrame } from "../src/frames.ts";

const log = document.createElement("div");
log.setAttribute("role", "log");
log.style.cssText = "block-size:100%;overflow-y:auto;contain:strict;overflow-wrap:anywhere";
document.querySelector("main")?.append(log);

function row(content: string): Text {
  const text = new Text(content);
  const element = document.createElement("article");
  element.style.cssText = "white-space:pre-wrap;margin-block-end:12px;contain:layout style";
  element.append(text);
  log.append(element);
  return text;
}

let last: Text | undefined;
let more = "";
let due = false;
function soon(): void {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    last?.appendData(more);
    more = "";
    log.scrollTop = log.scrollHeight;
  });
}

const socket = new WebSocket(new URL("ws", location.href.replace("http", "ws")), [
  "parley.v1.json",
]);
socket.onopen = () => {
  socket.send(JSON.stringify({ type: "hello", attach: [{ conversation: "c" }] }));
};
socket.onmessage = ({ data }) => {
  const told = JSON.parse(data) as ServerFrame;
  if (told.type === "attached") for (const { content } of told.messages ?? []) row(content);
  else if (told.type === "message") last = row(told.message.content);
  else if (told.type === "chunk") more += told.text;
  else return;
  soon();
};
