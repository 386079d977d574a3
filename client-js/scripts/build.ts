/** Writes what the server serves and what the package holds; --check only compares the former. */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { packaged, served } from "./bundle.ts";
import { ENTRIES, exportsOf, isServed } from "./entries.ts";

const ROOT = process.cwd(); // npm runs this in client-js
const STATIC = join(ROOT, "../server/static");

const files = new Map<string, Uint8Array>();
for (const entry of ENTRIES.filter(isServed)) {
  for (const [name, content] of await served(ROOT, entry)) files.set(name, content);
}

const complaints = process.argv.includes("--check") ? await differences() : await replaced();
for (const { path, contents } of await packaged(ROOT, ENTRIES)) await write(path, contents);
const { exports } = JSON.parse(await readFile("package.json", "utf8")) as { exports: unknown };
if (!isDeepStrictEqual(exports, exportsOf(ENTRIES))) {
  complaints.push("`exports` in client-js/package.json are not those of scripts/entries.ts");
}
for (const complaint of complaints) process.stderr.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;

/** What is checked in and would be built otherwise now, or not at all. */
async function differences(): Promise<string[]> {
  const there = await scripts();
  const stale = [];
  for (const name of new Set([...there, ...files.keys()])) {
    const now = there.includes(name) ? await readFile(join(STATIC, name)) : undefined;
    const due = files.get(name);
    if (now === undefined || due === undefined || !now.equals(due)) stale.push(name);
  }
  return stale.map((name) => `server/static/${name} is stale: run scripts/build`);
}

async function replaced(): Promise<string[]> {
  for (const name of await scripts()) if (!files.has(name)) await rm(join(STATIC, name));
  for (const [name, content] of files) await write(join(STATIC, name), content);
  return [];
}

async function scripts(): Promise<readonly string[]> {
  return (await readdir(STATIC, { recursive: true })).filter((name) => name.endsWith(".js"));
}

async function write(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
