/** The package as npm would have it, in an empty folder: what its README shows is true of it. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

import { build, transform } from "esbuild";

import { packaged } from "../../scripts/bundle.ts";
import { ENTRIES } from "../../scripts/entries.ts";
import { browser, opened } from "./pages.ts";
import { Parley } from "./parley.ts";

const ROOT = process.cwd(); // npm runs this in client-js
const OTHERS = [
  "@msgpack/msgpack",
  "@types/node",
  "@types/react",
  "@types/ws",
  "ai",
  "react",
  "ws",
];
/** What the blocks of the README that begin nothing go on from. */
const BEFORE = `import type { Answer, Conversation, ParleyClient } from "parley-client";
declare global {
  const parley: ParleyClient;
  const talk: Conversation;
  const answer: Answer;
}`;
const STRICTEST = {
  target: "ES2022",
  lib: ["ES2022", "DOM"],
  module: "NodeNext",
  jsx: "react-jsx",
  types: ["node"],
  noEmit: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  verbatimModuleSyntax: true,
  moduleDetection: "force",
};

const run = promisify(execFile);
const scratch = await mkdtemp(join(tmpdir(), "parley-package-"));
after(() => rm(scratch, { recursive: true }));
const folder = join(scratch, "empty");
await installed();
const blocks = [...(await readFile("README.md", "utf8")).matchAll(/^```(tsx?)\n(.*?)^```$/gms)];
const parley = await Parley.started(after);

/** Packs what there is, and installs it; what it may be used with is taken from here, not fetched. */
async function installed(): Promise<void> {
  const source = join(scratch, "package");
  for (const path of ["package.json", "README.md", "src"]) {
    await cp(path, join(source, path), { recursive: true });
  }
  await run(bin("tsc"), ["-p", "tsconfig.dist.json", "--outDir", join(source, "dist")]);
  for (const { path, contents } of await packaged(ROOT, ENTRIES)) {
    const place = join(source, relative(ROOT, path));
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, contents);
  }
  const npm = { cwd: scratch };
  await run("npm", ["pack", source, "--silent", "--ignore-scripts"], npm);
  await mkdir(folder);
  const type = "module";
  await writeFile(join(folder, "package.json"), JSON.stringify({ type, private: true }));
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  const paths = OTHERS.map((name) => join(ROOT, "node_modules", name));
  const packages = [join(scratch, `parley-client-${version}.tgz`), ...paths];
  const quiet = ["--silent", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...quiet, ...packages], { cwd: folder });
}

function bin(name: string): string {
  return resolve("node_modules/.bin", name);
}

function block(of: RegExp): string {
  const found = blocks.find(([, , code = ""]) => of.test(code));
  assert.ok(found, `the README shows no ${of}`);
  return (found[2] as string).replaceAll(/"https?:[^"]*"/g, `"${parley.url}/"`);
}

test("every block of the README is well typed, by the strictest settings", async () => {
  await writeFile(join(folder, "before.d.ts"), BEFORE);
  const files: Record<"own" | "foreign", string[]> = { own: [], foreign: [] };
  for (const [number, [, ending, code = ""]] of blocks.entries()) {
    const name = `block${number}.${ending}`;
    await writeFile(join(folder, name), code);
    files[/ai-sdk/.test(code) ? "foreign" : "own"].push(name);
  }
  assert.ok(files.own.length >= 7 && files.foreign.length === 1);
  for (const [whose, of] of Object.entries(files)) {
    // The declarations of `ai` are not up to these settings; ours are.
    const compilerOptions = { ...STRICTEST, skipLibCheck: whose === "foreign" };
    const config = join(folder, `tsconfig.${whose}.json`);
    await writeFile(config, JSON.stringify({ compilerOptions, files: ["before.d.ts", ...of] }));
    const { stdout } = await run(bin("tsc"), ["-p", config]).catch((error) => error);
    assert.equal(stdout, "");
  }
});

test("a program for Node needs no declarations of a page's, and has a name for every type", async () => {
  const names = `import type { ConversationObject, Emitter, FetchOptions, Store } from "parley-client";
export type Names = [ConversationObject, Emitter<object>, FetchOptions, Store];
// @ts-expect-error It is told, not set.
parley.connection = { state: "idle" };`;
  await writeFile(join(folder, "node.ts"), `${block(/from "ws"/)}\n${names}`);
  const compilerOptions = { ...STRICTEST, lib: ["ES2022"] };
  const config = join(folder, "tsconfig.node.json");
  await writeFile(config, JSON.stringify({ compilerOptions, files: ["node.ts"] }));
  const { stdout } = await run(bin("tsc"), ["-p", config]).catch((error) => error);
  assert.equal(stdout, "");
});

test("the lines for Node are a program that asks, and says the answer", async () => {
  const { code } = await transform(block(/from "ws"/), { loader: "ts" });
  await writeFile(join(folder, "ask.js"), code);
  const { stdout } = await run(process.execPath, [join(folder, "ask.js")]);
  assert.match(stdout, /\S.*\ncomplete\n$/s);
});

test("the eight lines, bundled, are a page that asks, and shows the answer", async (t) => {
  const { outputFiles } = await build({
    stdin: { contents: block(/document\.body/), loader: "ts", resolveDir: folder },
    bundle: true,
    format: "esm",
    write: false,
  });
  const { page } = await opened(t, await browser());
  // In the server's own page, for its policy is around what else is in it.
  for (const [path, body = ""] of [["demo.js", outputFiles[0]?.text], ["widget.js"]]) {
    await page.route(`**/${path}*`, (route) =>
      route.fulfill({ contentType: "text/javascript", body }),
    );
  }
  const said = page.waitForEvent("console");
  await page.goto(parley.url);
  assert.match((await said).text(), /^complete/);
  assert.match((await page.textContent("body")) ?? "", /\S/);
});
