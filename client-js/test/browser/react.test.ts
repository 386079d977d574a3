/** The hooks in React's own strict mode, in a real browser, over a server in memory. */

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { build } from "esbuild";
import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { ParleyClient } from "../../src/index.ts";
import { useChat } from "../../src/react.ts";
import { FakeOutside } from "../fakeOutside.ts";
import { FakeServer } from "../fakeServer.ts";
import { browser, opened, site } from "./pages.ts";
import type { Stage } from "./reactPage.ts";

const chromium = await browser();

/** What the server in memory takes from Node. */
const IMMEDIATE = `globalThis.setImmediate = (then) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); then(); };
  port2.postMessage(0);
};`;

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: ["test/browser/reactPage.ts"],
    banner: { js: IMMEDIATE },
    bundle: true,
    format: "esm",
    minify: true,
    write: false,
    define: { "process.env.NODE_ENV": '"development"' },
    plugins: [
      {
        name: "assert",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^node:assert/ }, () => ({ path: "assert", namespace: "assert" }));
          onLoad({ filter: /./, namespace: "assert" }, () => ({
            contents: "export default { ok(held, said) { if (!held) throw new Error(said); } };",
          }));
        },
      },
    ],
  });
  return outputFiles[0]?.text ?? "";
}

const page = await bundle();

/** Does something on such a page, and brings back what came of it. */
async function staged<Found>(
  t: TestContext,
  act: (stage: Stage) => Promise<Found>,
): Promise<Found> {
  const { page: tab } = await opened(t, chromium);
  const html = `<!doctype html><title>React</title><body><script type="module">${page}</script>`;
  await tab.goto((await site(t, html)).url);
  return (await tab.evaluate(`(${act})(stage)`)) as Found;
}

test("rows that are settled are not rendered again while another grows", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    await stage.talk("room", "One?", "One.");
    stage.chat("room").send("Two?");
    await stage.quiet();
    const before = new Map(stage.renders);
    for (const word of ["Two", ", ", "and ", "more."]) {
      stage.server.say(word);
      await stage.quiet();
    }
    const settled = ["One?", "One.", "Two?", "by name: One?"];
    const again = settled.filter((row) => stage.renders.get(row) !== before.get(row));
    return {
      again,
      rows: stage.rows("room"),
      grew: stage.renders.has("Two, and "),
      status: stage.status("room"),
    };
  });
  assert.deepEqual(found, {
    again: [],
    rows: ["One?", "One.", "Two?", "Two, and more."],
    grew: true,
    status: "streaming",
  });
});

test("strict mode makes one conversation for each place", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ left: undefined, right: undefined });
    const left = await stage.talk("left", "Left?", "Left.");
    const right = await stage.talk("right", "Right?", "Right.");
    await stage.talk("left", "Again?", "Again.");
    return {
      conversations: stage.server.logs.size,
      different: left !== right,
      left: stage.rows("left"),
      right: stage.rows("right"),
      detached: stage.server.kinds().includes("detach"),
    };
  });
  assert.deepEqual(found, {
    conversations: 2,
    different: true,
    left: ["Left?", "Left.", "Again?", "Again."],
    right: ["Right?", "Right."],
    detached: false,
  });
});

test("a conversation is followed once, while anybody shows it, and again when somebody does", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ first: undefined });
    const id = await stage.talk("first", "One?", "One.");
    await stage.show({});
    const left = stage.server.of("detach").length;
    await stage.show({ a: id, b: id });
    const attached = stage.server.of("attach").length;
    await stage.show({ a: id });
    const one = stage.server.of("detach").length;
    stage.chat("a").send("Two?");
    await stage.quiet();
    stage.server.say("Two.");
    await stage.quiet();
    const rows = stage.rows("a");
    await stage.show({});
    return { left, attached, one, rows, none: stage.server.of("detach").length };
  });
  assert.deepEqual(found, {
    left: 1,
    attached: 1,
    one: 1,
    rows: ["One?", "One.", "Two?", "Two."],
    none: 2,
  });
});

test("a rendering that React throws away follows nothing", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    const id = await stage.talk("room", "One?", "One.");
    await stage.show({});
    const attached = stage.server.of("attach").length;
    const renders = await stage.suspend(id);
    return [renders > 0, stage.server.of("attach").length - attached];
  });
  assert.deepEqual(found, [true, 0]);
});

test("what is hidden is not followed, and is level when it is seen again", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    const id = await stage.talk("room", "One?", "One.");
    await stage.show({ room: undefined }, "hidden");
    const detached = stage.server.of("detach").length;
    const elsewhere = stage.parley.conversation(id);
    elsewhere.send("Two?");
    await stage.quiet();
    stage.server.say("Two.");
    stage.server.end();
    await stage.quiet();
    elsewhere.close();
    await stage.show({ room: undefined });
    return [detached, stage.rows("room")];
  });
  assert.deepEqual(found, [1, ["One?", "One.", "Two?", "Two."]]);
});

test("another id shows another conversation", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ left: undefined, right: undefined });
    const left = await stage.talk("left", "Left?", "Left.");
    const right = await stage.talk("right", "Right?", "Right.");
    await stage.show({ room: left });
    const first = stage.rows("room");
    await stage.show({ room: right });
    return [first, stage.rows("room")];
  });
  assert.deepEqual(found, [
    ["Left?", "Left."],
    ["Right?", "Right."],
  ]);
});

test("older messages come on demand", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ first: undefined });
    for (let turn = 0; turn < 30; turn++) await stage.talk("first", `${turn}?`, `${turn}.`);
    const { id } = stage.chat("first").conversation;
    await stage.show({});
    await stage.show({ room: id });
    const { more } = stage.chat("room");
    const before = stage.rows("room").length;
    await stage.chat("room").loadMore();
    await stage.quiet();
    return [
      more,
      before,
      stage.rows("room").length,
      stage.chat("room").more,
      stage.rows("room")[0],
    ];
  });
  assert.deepEqual(found, [true, 50, 60, false, "0?"]);
});

test("a message that failed is sent again, and is there once", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    const code = "content_blocked";
    stage.server.refusals = [{ type: "chat", code, retryable: false, times: 1 }];
    stage.chat("room").send("Hello");
    await stage.quiet();
    const failed = [stage.status("room"), stage.chat("room").messages[0]?.error?.code];
    stage.chat("room").retry(stage.chat("room").messages[0]?.id ?? "");
    await stage.quiet();
    stage.server.say("Good day.");
    stage.server.end();
    await stage.quiet();
    return [failed, stage.rows("room"), stage.status("room")];
  });
  assert.deepEqual(found, [["error", "content_blocked"], ["Hello", "Good day."], "ready"]);
});

test("stopping, and asking for another answer, are at hand", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    const { send } = stage.chat("room");
    send("Hello");
    await stage.quiet();
    stage.server.say("Goo");
    await stage.quiet();
    await stage.chat("room").stop();
    await stage.quiet();
    const stopped = stage.rows("room");
    stage.chat("room").regenerate(stage.chat("room").messages[1]?.id ?? "");
    await stage.quiet();
    stage.server.say("Good day.");
    stage.server.end();
    await stage.quiet();
    return [stopped, stage.rows("room")];
  });
  assert.deepEqual(found, [
    ["Hello", "Goo"],
    ["Hello", "Good day."],
  ]);
});

test("the connection's state is rendered, whatever it does", async (t) => {
  const found = await staged(t, async (stage) => {
    await stage.show({ room: undefined });
    const states = [stage.chat("room").connection.state];
    stage.server.refuses = true;
    stage.server.cut();
    await stage.quiet();
    states.push(stage.chat("room").connection.state);
    stage.server.refuses = false;
    stage.parley.reconnect();
    await stage.quiet();
    return [...states, stage.chat("room").connection.state];
  });
  assert.deepEqual(found, ["open", "waiting", "open"]);
});

test("Markdown grows by what is new, and nothing of it runs", async (t) => {
  const found = await staged(t, async (stage) => {
    const text = await stage.read("# One\n\nA **word", true);
    const title = text.querySelector("h3");
    const streamed = text.querySelector("strong")?.textContent;
    await stage.read("# One\n\nA **word** <img src=x onerror=alert(1)>\n\n- two", false);
    const kept = title !== null && title === text.querySelector("h3");
    const { children } = text;
    return [streamed, kept, [...children].map((child) => child.tagName), text.querySelector("img")];
  });
  assert.deepEqual(found, ["word", true, ["H3", "P", "UL"], null]);
});

function Said({ parley }: { parley: ParleyClient }) {
  const { messages, status, connection } = useChat(parley, "c1");
  return createElement("p", null, `${messages.length} ${status} ${connection.state}`);
}

test("a server renders the chat as it is before anything is known", () => {
  const url = "wss://chat.example/ws";
  const parley = new ParleyClient({ url, token: "t" }, new FakeOutside(new FakeServer()));
  assert.equal(renderToString(createElement(Said, { parley })), "<p>0 ready idle</p>");
});
