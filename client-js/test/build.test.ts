/** What is built, and the bounds that it is held to. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { bundled } from "../scripts/bundle.ts";
import { ENTRIES, exportsOf } from "../scripts/entries.ts";
import { verdict } from "../scripts/verdict.ts";

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
