/** The page that is measured: a host's own field, and beside it the chat or what it is compared to. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";

import { bundled, served } from "../scripts/bundle.ts";
import { ENTRIES, isServed } from "../scripts/entries.ts";

export type Renderer = "widget" | "plain";

const ROOT = resolve(".");
const SCRIPTS = new Map([["plain.js", await bundled(ROOT, "bench/plain.ts")]]);
for (const entry of ENTRIES.filter(isServed).filter(({ parts }) => parts))
  for (const [name, content] of await served(ROOT, entry)) SCRIPTS.set(name, content);
for (const [name, content] of SCRIPTS) SCRIPTS.set(name, gzipSync(content, { level: 9 }));

function html(renderer: Renderer): string {
  const chat = `<parley-chat inline token="t" conversation="c" url="/" style="block-size:640px"></parley-chat>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
<style>body{margin:8px;font:16px/1.5 sans-serif}main{inline-size:400px;block-size:640px}</style>
<input aria-label="host"><main>${renderer === "widget" ? chat : ""}</main>
<script type="module" src="${renderer}.js"></script>`;
}

export function page({ url = "/" }: IncomingMessage, response: ServerResponse): void {
  const script = SCRIPTS.get(url.slice(1).replace(/\?.*/, ""));
  if (script) {
    response.setHeader("Content-Type", "text/javascript");
    response.setHeader("Content-Encoding", "gzip");
    response.end(script);
  } else {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(html(url.includes("plain") ? "plain" : "widget"));
  }
}
