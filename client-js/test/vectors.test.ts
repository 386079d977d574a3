/** The golden vectors that the server's own tests check, read by the types generated from it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, encode } from "@msgpack/msgpack";

import { type Advice, advice, CLOSE_CODES, ERROR_CODES } from "../src/codes.ts";
import type { ClientFrame, ServerFrame } from "../src/frames.ts";
import { crc32, utf8Length } from "../src/text.ts";
import { clientFrames, serverFrames } from "./vectors.generated.ts";

interface Encoded {
  readonly json: string;
  readonly msgpack: string;
}

interface Encoding extends Encoded {
  readonly name: string;
  readonly direction: "client" | "server";
  readonly frame: ClientFrame | ServerFrame;
  readonly stamped?: readonly (Encoded & { readonly seq: number })[];
}

interface Text {
  readonly text: string;
  readonly well_formed: boolean;
  readonly length?: number;
  readonly crc32?: number;
  readonly mended?: string;
  readonly slices: readonly {
    readonly start: number;
    readonly end: number;
    readonly text: string | null;
  }[];
}

// npm runs this in client-js; the vectors belong to the protocol and are not copied.
function vectors<Row>(name: string): readonly Row[] {
  return JSON.parse(readFileSync(`../protocol/vectors/${name}.json`, "utf8")) as Row[];
}

function fromHex(hex: string): unknown {
  return decode(Buffer.from(hex, "hex"));
}

function assertReadsAs(bytes: Encoded, frame: unknown): void {
  assert.deepEqual(JSON.parse(bytes.json), frame);
  assert.deepEqual(fromHex(bytes.msgpack), frame);
}

const encodings = vectors<Encoding>("encodings");

for (const { name, direction, frame, stamped, ...bytes } of encodings) {
  test(`${direction} frame: ${name}`, () => {
    assertReadsAs(bytes, frame);
    for (const { seq, ...stampedBytes } of stamped ?? []) {
      assertReadsAs(stampedBytes, { ...frame, seq });
    }
  });

  test(`${direction} frame written here is the same frame: ${name}`, () => {
    assert.deepEqual(decode(encode(frame)), frame);
    assert.deepEqual(JSON.parse(JSON.stringify(frame)), frame);
  });
}

test("every vector is among the literals that the compiler has checked against the types", () => {
  const wire = ({ frame, stamped }: Encoding) =>
    stamped === undefined ? frame : { ...frame, seq: stamped[0]?.seq };
  const of = (side: string) => encodings.filter(({ direction }) => direction === side).map(wire);
  assert.deepEqual(of("client"), clientFrames);
  assert.deepEqual(of("server"), serverFrames);
});

for (const { text, slices, ...row } of vectors<Text>("text")) {
  test(`text ${JSON.stringify(text)}`, () => {
    const wellFormed = text.isWellFormed() && !text.includes("\0");
    assert.equal(wellFormed, row.well_formed);
    if (!wellFormed) {
      assert.equal(text.toWellFormed().replaceAll("\0", "\ufffd"), row.mended);
      return;
    }
    assert.equal(text.length, row.length);
    assert.equal(crc32(text), row.crc32);
    assert.equal(utf8Length(text), Buffer.byteLength(text));
    for (const { start, end, text: part } of slices) {
      assert.equal(slice(text, start, end), part);
    }
  });
}

/** The part between two offsets; null if one lies outside or between the halves of a pair. */
function slice(text: string, start: number, end: number): string | null {
  if (!(0 <= start && start <= end && end <= text.length)) return null;
  const parts = [text.slice(0, start), text.slice(start, end), text.slice(end)];
  return parts.every((part) => part.isWellFormed()) ? (parts[1] ?? null) : null;
}

test("every pattern of the schema is a regular expression here too", () => {
  const schema = readFileSync("../protocol/schema/frames.json", "utf8");
  const patterns = new Set<string>();
  JSON.parse(schema, (key, value: unknown) => {
    if (key === "pattern" && typeof value === "string") patterns.add(value);
    return value;
  });
  assert.ok(patterns.size >= 4);
  for (const pattern of patterns) new RegExp(pattern, "u");
  const [id] = [...patterns].filter((pattern) => new RegExp(pattern, "u").test("m-1._:~"));
  assert.ok(id !== undefined);
  assert.equal(new RegExp(id, "u").test("m-1\n"), false);
});

test("every close code gets the advice that the server's table gives", () => {
  const rows = vectors<{ readonly code: number; readonly advice: Advice }>("closes");
  assert.deepEqual(
    rows.map(({ code }) => ({ code, advice: advice(code) })),
    rows,
  );
  const told = new Set(rows.map(({ code }) => code));
  assert.deepEqual(
    Object.values(CLOSE_CODES).filter((code) => !told.has(code)),
    [],
  );
});

test("an error code says whether the same request may succeed later", () => {
  assert.equal(ERROR_CODES.unavailable.retryable, true);
  assert.equal(ERROR_CODES.id_conflict.retryable, false);
  assert.equal(ERROR_CODES.rate_limited.status, 429);
});
