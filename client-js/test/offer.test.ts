import assert from "node:assert/strict";
import { test } from "node:test";

import type { ChatFrame } from "../src/frames.ts";
import { refuse } from "../src/offer.ts";
import type { RequestFrame } from "../src/outbox.ts";
import { CHAT, FEATURES, welcome } from "./examples.ts";

const TOOL = { name: "clock", description: "", parameters: {} };
const chat = (more: Partial<ChatFrame>): ChatFrame => ({ ...CHAT, ...more });

const within: RequestFrame[] = [
  CHAT,
  chat({ retrieval: false }),
  chat({ retrieval: {}, tools: ["clock", TOOL], attachments: ["a"], metadata: { k: 1 } }),
  chat({ content: "x".repeat(32768), system_prompt: "x".repeat(8192), max_tokens: 128_000 }),
  { type: "edit", id: "e", message: "m", content: "é".repeat(16384) },
  { type: "tool_result", id: "r", call: "k", error: "no" },
  { type: "approve", id: "a", call: "k", args_hash: "h", allow: false },
  { type: "history", id: "h", conversation: "c", limit: 100 },
  { type: "stop", answer: "a" },
];

for (const frame of within) {
  test(`within the offer: ${JSON.stringify(frame).slice(0, 70)}`, () => {
    assert.equal(refuse(frame, welcome()), undefined);
  });
}

const featured: readonly (readonly [string, string, RequestFrame])[] = [
  ["retrieval", "invalid_field", chat({ retrieval: {} })],
  ["attachments", "invalid_field", chat({ attachments: ["a"] })],
  ["tools", "invalid_field", chat({ tools: ["clock"] })],
  ["client_tools", "invalid_field", chat({ tools: [TOOL] })],
  ["client_tools", "unavailable", { type: "tool_result", id: "r", call: "k", content: "x" }],
  [
    "approvals",
    "unavailable",
    { type: "approve", id: "a", call: "k", args_hash: "h", allow: true },
  ],
];

for (const [feature, code, frame] of featured) {
  test(`a ${frame.type} needs ${feature}, and nothing else`, () => {
    const others = FEATURES.filter((one) => one !== feature);
    assert.deepEqual(refuse(frame, welcome({}, others)), {
      type: "refusal",
      code,
      message: feature,
    });
    assert.equal(refuse(frame, welcome({}, [feature])), undefined);
  });
}

const counted: readonly (readonly [string, ChatFrame, ChatFrame])[] = [
  [
    "message_attachments",
    chat({ attachments: ["a", "b"] }),
    chat({ attachments: ["a", "b", "c"] }),
  ],
  ["tools", chat({ tools: ["a", "b"] }), chat({ tools: ["a", "b", TOOL] })],
  ["max_tokens", chat({ max_tokens: 2 }), chat({ max_tokens: 3 })],
  ["metadata_bytes", chat({ metadata: { k: "12345678" } }), chat({ metadata: { k: "123456789" } })],
];

for (const [limit, fits, over] of counted) {
  test(`${limit} includes its own number and nothing beyond`, () => {
    const low = { message_attachments: 2, tools: 2, max_tokens: 2, metadata_bytes: 16 };
    assert.equal(refuse(fits, welcome(low)), undefined);
    const refusal = { type: "refusal", code: "invalid_field", message: limit };
    assert.deepEqual(refuse(over, welcome(low)), refusal);
  });
}

for (const letter of ["x", "é", "\u20ac", "\u{1f600}"]) {
  test(`texts are measured in bytes of UTF-8: ${letter}`, () => {
    const offer = welcome({ content_bytes: 60, system_prompt_bytes: 12 });
    const size = Buffer.byteLength(letter);
    const fits = chat({
      content: letter.repeat(60 / size),
      system_prompt: letter.repeat(12 / size),
    });
    const content = letter.repeat(60 / size + 1);
    assert.equal(refuse(fits, offer), undefined);
    const long: RequestFrame[] = [
      chat({ content }),
      chat({ system_prompt: letter.repeat(12 / size + 1) }),
      { type: "edit", id: "m-1", message: "m", content },
      { type: "tool_result", id: "m-1", call: "k", content },
    ];
    assert.deepEqual(
      long.map((frame) => refuse(frame, offer)?.code),
      long.map(() => "message_too_long"),
    );
  });
}
