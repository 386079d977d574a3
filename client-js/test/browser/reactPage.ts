/** A page with a chat in React over a server in memory; `react.test.ts` builds it and drives it by `stage`. */

import { Activity, createElement, memo, StrictMode, Suspense, use } from "react";
import { createRoot, type Root } from "react-dom/client";

import { type ChatMessage, ParleyClient } from "../../src/index.ts";
import { type Chat, Markdown, useChat, useMessage } from "../../src/react.ts";
import { FakeOutside, quiet } from "../fakeOutside.ts";
import { FakeServer } from "../fakeServer.ts";

const server = new FakeServer();
const outside = new FakeOutside(server);
const options = { url: "wss://chat.example/ws", token: "t", storage: null };
const parley = new ParleyClient(options, outside).connect();

/** How often each row was rendered, by what it says. */
const renders = new Map<string, number>();
const chats = new Map<string, Chat>();

function counted(content: string): string {
  renders.set(content, (renders.get(content) ?? 0) + 1);
  return content;
}

const Row = memo(({ message: { content } }: { message: ChatMessage }) =>
  createElement("li", null, counted(content)),
);

const Named = memo(
  ({ chat: { conversation }, id }: { chat: Pick<Chat, "conversation">; id: string }) =>
    createElement("dd", null, counted(`by name: ${useMessage(conversation, id)?.content}`)),
);

function Room({ name, id }: { name: string; id?: string | undefined }) {
  const chat = useChat(parley, id);
  chats.set(name, chat);
  const { messages, conversation } = chat;
  return createElement(
    "section",
    { id: name },
    createElement(
      "ol",
      null,
      messages.map((message) => createElement(Row, { key: message.id, message })),
    ),
    messages
      .slice(0, 1)
      .map(({ id }) => createElement(Named, { key: id, chat: stable(conversation), id })),
    createElement("output", null, chat.status),
  );
}

const never = new Promise<void>(() => {});
let suspended = 0;

function Suspended({ id }: { id: string }) {
  useChat(parley, id);
  suspended++;
  use(never);
  return null;
}

const stables = new WeakMap<object, Pick<Chat, "conversation">>();

function stable(conversation: Chat["conversation"]): Pick<Chat, "conversation"> {
  let held = stables.get(conversation);
  if (!held) stables.set(conversation, (held = { conversation }));
  return held;
}

let root: Root | undefined;

const stage = {
  server,
  outside,
  parley,
  renders,
  chats,
  quiet,
  /** Shows these rooms, in strict mode; kept as they are, but out of sight, where they are hidden. */
  async show(
    rooms: Readonly<Record<string, string | undefined>>,
    mode: "visible" | "hidden" = "visible",
  ): Promise<void> {
    root ??= createRoot(document.body.appendChild(document.createElement("main")));
    const shown = Object.entries(rooms).map(([name, id]) =>
      createElement(Room, { key: name, name, id }),
    );
    const seen = { mode, children: shown };
    root.render(createElement(StrictMode, null, createElement(Activity, seen)));
    await quiet();
  },
  /** Renders a chat that never comes so far as to be shown; returns how often. */
  async suspend(id: string): Promise<number> {
    root ??= createRoot(document.body.appendChild(document.createElement("main")));
    const shown = createElement(Suspended, { id });
    root.render(createElement(StrictMode, null, createElement(Suspense, null, shown)));
    await quiet();
    return suspended;
  },
  rows(name: string): string[] {
    return [...document.querySelectorAll(`#${name} li`)].map((row) => row.textContent ?? "");
  },
  status(name: string): string | undefined {
    return document.querySelector(`#${name} output`)?.textContent ?? undefined;
  },
  /** Shows a text as Markdown, in strict mode. */
  async read(text: string, streaming: boolean): Promise<HTMLElement> {
    root ??= createRoot(document.body.appendChild(document.createElement("main")));
    const shown = createElement(Markdown, { id: "text", text, streaming });
    root.render(createElement(StrictMode, null, shown));
    await quiet();
    return document.getElementById("text") as HTMLElement;
  },
  /** The room's question, and an answer that has ended. */
  async talk(name: string, question: string, answer: string): Promise<string> {
    const asked = stage.chat(name).send(question);
    await quiet();
    server.say(answer);
    server.end();
    await asked.done;
    await quiet();
    return stage.chat(name).conversation.id as string;
  },
  chat(name: string): Chat {
    return chats.get(name) as Chat;
  },
};

export type Stage = typeof stage;
Object.assign(globalThis, { stage });
