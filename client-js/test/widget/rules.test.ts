/** What the widget decides without a page: keys, pages of rows, texts, what is announced. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { type ChatMessage, ParleyError } from "../../src/index.ts";
import { AnswerNews } from "../../src/widget/announcer.ts";
import { address, numbered } from "../../src/widget/citations.ts";
import { tell } from "../../src/widget/connection.ts";
import { explain } from "../../src/widget/explain.ts";
import { type Key, moves, sends } from "../../src/widget/keys.ts";
import { texts as ar } from "../../src/widget/locales/ar.ts";
import { texts as de } from "../../src/widget/locales/de.ts";
import { en } from "../../src/widget/locales/en.ts";
import { difference, follows } from "../../src/widget/paging.ts";
import { part } from "../../src/widget/parts.ts";
import { language, localeOf } from "../../src/widget/strings.ts";

const KEY: Key = {
  key: "Enter",
  keyCode: 13,
  isComposing: false,
  shiftKey: false,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
};

test("Enter sends, unless it breaks a line or ends a composition, in Safari too", () => {
  assert.equal(sends(KEY), true);
  assert.equal(sends({ ...KEY, shiftKey: true }), false);
  assert.equal(sends({ ...KEY, isComposing: true }), false);
  assert.equal(sends({ ...KEY, keyCode: 229 }), false);
  assert.equal(sends({ ...KEY, key: "a" }), false);
});

test("arrows go from message to message and stay at the ends", () => {
  const move = (key: string, at: number) => moves({ ...KEY, key }, at, 3);
  assert.equal(move("ArrowUp", -1), 2, "from outside to the newest");
  assert.equal(move("ArrowUp", 2), 1);
  assert.equal(move("ArrowUp", 0), 0);
  assert.equal(move("ArrowDown", 2), 2);
  assert.equal(move("Home", 2), 0);
  assert.equal(move("End", 0), 2);
  assert.equal(move("a", 0), undefined);
  assert.equal(moves({ ...KEY, key: "Home", ctrlKey: true }, 1, 3), undefined);
  assert.equal(moves({ ...KEY, key: "Home" }, -1, 0), undefined);
});

test("rows that stay are told from those before them and those that go", () => {
  assert.deepEqual(difference([], ["a"]), { before: 0, same: 0 });
  assert.deepEqual(difference(["b", "c"], ["a", "b", "c", "d"]), { before: 1, same: 2 });
  assert.deepEqual(difference(["a", "b", "c"], ["a", "x"]), { before: 0, same: 1 });
  assert.deepEqual(difference(["a", "b"], ["c"]), { before: 0, same: 0 });
});

test("the end is followed within 40 px, until the reader goes up", () => {
  const box = { scrollHeight: 1000, clientHeight: 400 };
  assert.equal(follows(false, { ...box, scrollTop: 560 }, 100), true);
  assert.equal(follows(true, { ...box, scrollTop: 500 }, 600), false, "the reader went up");
  assert.equal(follows(true, { ...box, scrollTop: 592 }, 600), false, "slowly");
  assert.equal(follows(true, { ...box, scrollTop: 500 }, 500), true, "the text grew");
  assert.equal(follows(false, { ...box, scrollTop: 500 }, 400), false, "not down far enough");
  assert.equal(follows(false, { ...box, scrollTop: 570 }, 570), false, "not down at all");
});

test("every locale has every text with the same holes", () => {
  const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const locale of [de, ar]) {
    assert.deepEqual(Object.keys(locale), Object.keys(en));
    for (const [text, words] of Object.entries(locale)) {
      assert.notEqual(words.trim(), "", text);
      assert.deepEqual(holes(words), holes(en[text as keyof typeof en]), text);
    }
  }
});

test("a language is there once its part is; until then, and where nobody brings one, it is English", async () => {
  assert.deepEqual([language("de").locale, language("de").t("send")], ["en", "Send"]);
  assert.equal(localeOf("fa"), undefined);
  for (const wanted of ["de-AT", "AR"]) await part(localeOf(wanted) ?? assert.fail());
  assert.equal(language("de-AT").t("send"), "Senden");
  assert.deepEqual([language("ar").direction, language("en").direction], ["rtl", "ltr"]);
  const { locale, direction, t } = language("fa");
  assert.deepEqual([locale, direction, t("send")], ["en", "ltr", "Send"]);
});

test("a tag is written as browsers want it, for Intl throws at another one", () => {
  const written = ["de_DE", "de-at", " de ", "de--x", "en"].map((one) => language(one).locale);
  assert.deepEqual(written, ["de-DE", "de-AT", "de", "de", "en"]);
});

test("a site's own texts go before the shipped ones, and bring their own direction", () => {
  const { direction, t } = language("fa", { send: "ارسال" });
  assert.deepEqual([direction, t("send"), t("stop")], ["rtl", "ارسال", "Stop"]);
});

test("what fills a hole is text as it is", () => {
  assert.equal(language("en").t("said", { name: "$& {name}" }), "$& {name} said");
});

test("an error is told in the reader's language, not in the server's words", () => {
  const { t } = language("de");
  assert.equal(explain("message_too_long", t), "Die Nachricht ist zu lang.");
  assert.equal(explain("internal", t), "");
  assert.equal(explain("offline", t), "Der Server war nicht erreichbar.");
  assert.equal(explain(undefined, t), "");
});

test("a connection is told as a state, with what can be done about it", () => {
  const { t } = language("en");
  const waiting = { state: "waiting", reason: 1006, retryIn: 5000 } as const;
  assert.equal(tell({ state: "idle" }, 0, true, t), undefined);
  assert.equal(tell({ state: "open", draining: false }, 0, true, t), undefined);
  assert.deepEqual(tell(waiting, 4200, true, t), {
    text: "No connection. Next attempt in 5 s.",
    action: "retry",
  });
  assert.deepEqual(tell(waiting, 4200, false, t), {
    text: "You are offline. Messages are kept and sent later.",
  });
  const closed = { text: "Disconnected.", action: "retry" };
  assert.deepEqual(tell({ state: "closed", reason: 4501 }, 0, true, t), closed);
  const error = new ParleyError("closed", "The server lets us in no more.");
  assert.deepEqual(tell({ state: "closed", reason: 4002, error }, 0, true, t), closed, "once");
});

test("of an answer its begin, one question and its end are told, whatever happens between", () => {
  const news = new AnswerNews();
  const answer = { id: "a", role: "assistant" } as const;
  const states: readonly Pick<ChatMessage, "state" | "outcome">[] = [
    { state: "queued" },
    { state: "thinking" },
    { state: "parked" },
    { state: "tool" },
    { state: "parked" },
    { state: "generating" },
    { outcome: "complete" },
    { outcome: "complete" },
  ];
  const told = states.map((state) => news.of({ ...answer, ...state }, false));
  assert.deepEqual(
    told.filter((one) => one !== undefined),
    ["begins", "asks", "finished"],
  );
});

test("of what had ended before it was seen there is nothing to tell", () => {
  const news = new AnswerNews();
  const ended = { id: "a", role: "assistant", outcome: "complete" } as const;
  assert.equal(news.of(ended, false), undefined);
  assert.equal(news.of(ended, true), "finished", "it came while nobody looked");
  assert.equal(news.of({ id: "u", role: "user" }, true), undefined);
});

test("a passage that is cited twice has one number", () => {
  const one = { document: "d", title: "D", start: 0, end: 9 };
  const other = { document: "d", title: "D", start: 20, end: 29 };
  const { list, marks } = numbered({
    citations: [
      { start: 0, end: 4, sources: [one] },
      { start: 5, end: 9, sources: [other, one] },
    ],
    sources: [one, { document: "e", title: "E" }],
  });
  assert.deepEqual(
    list.map(({ n, source }) => [n, source.title]),
    [
      [1, "D"],
      [2, "D"],
      [3, "E"],
    ],
  );
  assert.deepEqual(
    marks.map(({ at, n }) => [at, n]),
    [
      [4, 1],
      [9, 2],
      [9, 1],
    ],
  );
});

test("a source is visited over http or not at all", () => {
  assert.equal(address("https://a.example/"), "https://a.example/");
  const bad = [
    "javascript:alert(1)",
    "data:text/html,x",
    "//a.example",
    "https://bank@evil.example/",
  ];
  for (const url of [...bad, undefined]) {
    assert.equal(address(url), undefined);
  }
});
