/** The golden dialogues of a client, played against this one's machine. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import type { ServerFrame } from "../src/frames.ts";
import { request } from "../src/outbox.ts";
import type { Replica } from "../src/replica.ts";
import { type Action, type RequestFrame, Session } from "../src/session.ts";

type Plain = { readonly [key: string]: unknown };

interface Step extends Plain {
  readonly at: number;
  readonly chance?: number;
  readonly retry_after_s?: number;
  readonly history?: number;
  readonly into?: string;
  readonly expect?: readonly { readonly send?: unknown }[];
}

interface Dialogue {
  readonly machine: string;
  readonly steps: readonly Step[];
  readonly ends: Plain;
}

const FOLDER = "../protocol/vectors/dialogues";
const read = (file: string): unknown => JSON.parse(readFileSync(`${FOLDER}/${file}`, "utf8"));
const NAMED = read("frames.json") as Record<string, Plain>;

/** A frame as it stands, or one of frames.json by its name. */
function spelt(frame: unknown): unknown {
  return typeof frame === "string" ? NAMED[frame] : frame;
}

function done(machine: Session, step: Step): Action[] {
  const { chance = 0.5 } = step;
  const now = step.at * 1000;
  const inputs: { readonly [input: string]: (what: unknown) => Action[] } = {
    connect: () => machine.connect(now),
    opened: () => machine.opened(),
    receive: (frame) => machine.receive(spelt(frame) as ServerFrame, now, chance),
    closed: (code) => machine.closed(code as number, now, chance, (step.retry_after_s ?? 0) * 1000),
    tick: () => machine.tick(now),
    submit: (frame) => machine.submit(spelt(frame) as RequestFrame, now, step.into),
    follow: (name) => machine.follow(name as string, now, step.history),
    unfollow: (name) => machine.unfollow(name as string, now),
    auth: (token) => machine.auth(token as string, now),
    typing: (name) => machine.typing(name as string),
    wake: () => machine.wake(now),
    stop: () => machine.stop(),
  };
  for (const [input, play] of Object.entries(inputs)) {
    if (input in step) return play(step[input]);
  }
  throw new Error(`no such input: ${JSON.stringify(step)}`);
}

/** An action as the dialogues write it. */
function plain(action: Action): Plain {
  switch (action.type) {
    case "connect":
      return { connect: true };
    case "send":
      return { send: action.frame };
    case "close":
      return { close: action.code };
    case "moved": {
      const { type, wait, ...told } = action;
      return { tell: wait === undefined ? told : { ...told, wait_s: wait / 1000 } };
    }
    case "answered": {
      const { answer } = action;
      const code = "code" in answer ? { code: answer.code } : {};
      return { tell: { answered: request(action.request).ref, by: answer.type, ...code } };
    }
    case "delayed": {
      const { ref } = request(action.request);
      return { tell: { delayed: ref, code: action.error.code, wait_s: action.wait / 1000 } };
    }
    case "updated":
      return { tell: { updated: action.conversation, by: action.frame.type } };
    case "unfollowed":
      return { tell: { unfollowed: action.conversation, code: action.why.code } };
    case "heard":
      return { tell: { heard: action.frame.type } };
    case "need_token":
      return { tell: { need_token: action.why } };
  }
}

function shown({ position, leaf, answers, messages }: Replica): Plain {
  return {
    position: position ? [position.epoch, position.seq] : null,
    leaf,
    running: Object.fromEntries([...answers].map(([name, { text }]) => [name, text])),
    ended: Object.fromEntries(
      [...messages.values()]
        .filter(({ outcome }) => outcome !== undefined)
        .map(({ id, outcome, content }) => [id, [outcome, content]]),
    ),
  };
}

const files = readdirSync(FOLDER).filter((file) => file.startsWith("client-"));

for (const file of files) {
  test(file.replace(".json", "").replaceAll("-", " "), () => {
    const { machine, steps, ends } = read(file) as Dialogue;
    assert.equal(machine, "client");
    const session = new Session({ token: "token-1" });
    for (const step of steps) {
      const expected = (step.expect ?? []).map((action) =>
        "send" in action ? { send: spelt(action.send) } : action,
      );
      assert.deepEqual(done(session, step).map(plain), expected, JSON.stringify(step));
    }
    const conversations = [...session.replicas].map(([name, replica]) => [name, shown(replica)]);
    const { state, unanswered } = session;
    assert.deepEqual(
      { state, unanswered, conversations: Object.fromEntries(conversations) },
      { conversations: {}, ...ends },
    );
  });
}

test("every dialogue of a client is played", () => {
  assert.ok(files.length >= 40);
});
