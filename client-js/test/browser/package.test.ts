/** The package as npm would have it, in an empty folder: what its README shows is true of it. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { after, type TestContext, test } from "node:test";
import { promisify } from "node:util";

import { transform } from "esbuild";

import { packaged } from "../../scripts/bundle.ts";
import { ENTRIES } from "../../scripts/entries.ts";
import { lastFirst } from "./ends.ts";
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
  "vite",
  "ws",
];
/** What the blocks of the README that begin nothing go on from. */
const BEFORE = `import type { Answer, Conversation, ParleyClient } from "parley-client";
declare global {
  const parley: ParleyClient;
  const talk: Conversation;
  const answer: Answer;
}`;
/** The settings of `npm create vite -- --template vanilla-ts`, 8.3. */
const AS_VITE_HAS_IT = {
  target: "ES2023",
  lib: ["ES2023", "DOM"],
  module: "ESNext",
  types: ["vite/client"],
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  verbatimModuleSyntax: true,
  moduleDetection: "force",
  noEmit: true,
  strict: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  erasableSyntaxOnly: true,
  noFallthroughCasesInSwitch: true,
  skipLibCheck: true,
};
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
const chromium = await browser();

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

/** A project as `npm create vite` leaves it, without its samples: one page with one script. */
async function project(name: string, script: string): Promise<string> {
  const place = join(scratch, name);
  await mkdir(place);
  await cp(join(folder, "node_modules"), join(place, "node_modules"), { recursive: true });
  const files = {
    "package.json": JSON.stringify({ name, private: true, version: "0.0.0", type: "module" }),
    "index.html": `<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="/src/main.ts"></script>`,
    "src/main.ts": script,
    "tsconfig.json": JSON.stringify({ compilerOptions: AS_VITE_HAS_IT, include: ["src"] }),
  };
  await mkdir(join(place, "src"));
  for (const [path, text] of Object.entries(files)) await writeFile(join(place, path), text);
  return place;
}

/** Compiles and builds a project, as its `npm run build` would, and serves what comes of it. */
async function built(t: TestContext, place: string): Promise<string> {
  const { stdout } = await run(bin("tsc"), ["-p", place]).catch((error) => error);
  assert.equal(stdout, "");
  await run(bin("vite"), ["build", "--logLevel", "warn"], { cwd: place });
  const server = createServer((request, response) => {
    const path = request.url === "/" ? "/index.html" : `${request.url}`;
    response.setHeader("Content-Type", path.endsWith(".js") ? "text/javascript" : "text/html");
    createReadStream(join(place, "dist", path)).pipe(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  lastFirst(t)(async () => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

test("in an empty Vite project the eight lines are well typed, and a page that asks and shows the answer", async (t) => {
  const url = await built(t, await project("lines", block(/document\.body/)));
  const { page } = await opened(t, chromium);
  const said = page.waitForEvent("console");
  await page.goto(url);
  assert.match((await said).text(), /^complete/);
  assert.match((await page.textContent("body")) ?? "", /\S/);
});

test("in an empty Vite project the widget is there once it is imported", async (t) => {
  const script = `import "parley-client/widget";
document.body.innerHTML = '<parley-chat inline url="${parley.url}/"></parley-chat>';`;
  const url = await built(t, await project("widget", script));
  const { page } = await opened(t, chromium);
  await page.goto(url);
  await page.locator("parley-chat").locator("textarea").fill("What can you do?");
  await page.keyboard.press("Enter");
  await page.locator("article.assistant [part=text]").getByText(/\S/).first().waitFor();
});
