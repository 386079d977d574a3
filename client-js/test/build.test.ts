/** What is built, and the bounds that it is held to. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { bundled, served } from "../scripts/bundle.ts";
import { ENTRIES, exportsOf } from "../scripts/entries.ts";
import { verdict } from "../scripts/verdict.ts";
import { found } from "../src/widget/found.ts";

test("a file that is empty is as wrong as one that is too big", () => {
  assert.equal(verdict(5, [3, 6]), "");
  assert.equal(verdict(3, [3, 6]), "");
  assert.equal(verdict(6, [3, 6]), "");
  assert.match(verdict(6.01, [3, 6]), /TOO BIG/);
  assert.match(verdict(0.02, [3, 6]), /TOO SMALL/);
});

test("every budget has a floor that an empty file does not reach", () => {
  for (const { source, kB } of ENTRIES) assert.ok(kB[0] > 0.1 && kB[0] < kB[1], source);
});

test("the same sources become the same bytes wherever they lie", async (t) => {
  const builds = [];
  for (const folder of ["a", "another one/below"]) {
    const scratch = await mkdtemp(join(tmpdir(), "parley-build-"));
    t.after(() => rm(scratch, { recursive: true }));
    const root = join(scratch, folder);
    await mkdir(join(root, "src"), { recursive: true });
    await writeFile(join(root, "src/word.ts"), 'export const word: string = "grüß";');
    await writeFile(join(root, "src/index.ts"), 'export * from "./word.ts";\nthrow import.meta;');
    builds.push(Buffer.from(await bundled(root, "src/index.ts")).toString());
  }
  assert.equal(builds[0], builds[1]);
  assert.match(builds[0] ?? "", /grüß/);
  assert.doesNotMatch(builds[0] ?? "", /parley-build-|word\.ts/);
});

test("parts have names that say what is in them, wherever they were built, and are found by these", async (t) => {
  const builds = [];
  for (const word of ["one", "one", "another"]) {
    const root = await mkdtemp(join(tmpdir(), "parley-build-"));
    t.after(() => rm(root, { recursive: true }));
    await mkdir(join(root, "src"));
    await writeFile(join(root, "src/later.ts"), `export const word: string = "${word}";`);
    const finds = 'export const found = { later: (_: number) => import("./later.ts") };';
    await writeFile(join(root, "src/found.ts"), finds);
    const first = 'import { found } from "./found.ts";\nconsole.log((await found.later(0)).word);';
    await writeFile(join(root, "src/index.ts"), first);
    const later = { source: "src/later.ts", kB: [0, 1] } as const;
    const parts = { found: "src/found.ts", of: { later }, kB: [0, 1] } as const;
    const entry = { source: "src/index.ts", served: "first.js", parts, kB: [0, 1] } as const;
    builds.push(
      [...(await served(root, entry))].map(([name, file]) => [name, `${Buffer.from(file)}`]),
    );
  }
  const [one, again, another] = builds;
  assert.deepEqual(one, again);
  assert.match(one?.[1]?.[0] ?? "", /^parts\/later-[\da-f]{12}\.js$/);
  assert.ok(one?.[0]?.[1]?.includes(`"./${one[1]?.[0]}"`));
  assert.notEqual(another?.[1]?.[0], one?.[1]?.[0]);
});

test("what the build puts in the place of the parts are those that a bundler would find", () => {
  const { parts } = ENTRIES.find((entry) => entry.parts) ?? {};
  assert.deepEqual(Object.keys(parts?.of ?? {}), Object.keys(found));
});

test("the chat's module may be loaded where pages are made, without one", async () => {
  const { ParleyChat } = await import("../src/widget/index.ts");
  assert.equal(typeof ParleyChat, "function");
});

test("an entry's own file leaves out what it imports of another one", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "parley-build-"));
  t.after(() => rm(root, { recursive: true }));
  await mkdir(join(root, "src"));
  await writeFile(join(root, "src/core.ts"), 'export const word: string = "core";');
  await writeFile(join(root, "src/glue.ts"), 'export { word } from "./core.ts";');
  assert.match(Buffer.from(await bundled(root, "src/glue.ts")).toString(), /"core"/);
  const glue = Buffer.from(await bundled(root, "src/glue.ts", ["src/core.ts"])).toString();
  assert.doesNotMatch(glue, /"core"/);
});

test("types come first in what the package exports", () => {
  const entries = [
    { source: "src/index.ts", exported: ".", kB: [1, 2] },
    { source: "src/widget/index.ts", exported: "./widget", kB: [1, 2] },
    { source: "src/demo/index.ts", served: "demo.js", kB: [1, 2] },
  ] as const;
  assert.equal(
    JSON.stringify(exportsOf(entries)),
    '{".":{"types":"./dist/index.d.ts","default":"./dist/index.js"},' +
      '"./widget":{"types":"./dist/widget/index.d.ts","default":"./dist/widget/index.js"}}',
  );
});
