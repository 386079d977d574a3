/** Prints what each entry weighs, and fails where one is beyond its budget or below its floor. */

import { gzipSync } from "node:zlib";

import { bundled, served } from "./bundle.ts";
import { ENTRIES, isServed } from "./entries.ts";
import { verdict } from "./verdict.ts";

const ROOT = process.cwd(); // npm runs this in client-js

for (const entry of ENTRIES) {
  const { source, glue, parts, kB } = entry;
  if (parts && isServed(entry)) {
    const [first, ...later] = [...(await served(ROOT, entry)).values()].map(weight);
    const bounds = Object.values(parts.of);
    say(source, first, kB);
    for (const [at, heavy] of later.entries())
      say(`+ ${bounds[at]?.source}`, heavy, bounds[at]?.kB);
    say(
      `= ${source}, whole`,
      later.reduce((sum, one) => sum + one, first ?? 0),
      parts.kB,
    );
  } else {
    const others = ENTRIES.map((one) => one.source).filter((other) => other !== source);
    say(source, weight(await bundled(ROOT, source, glue ? others : [])), kB);
  }
}

function weight(content: Uint8Array): number {
  return gzipSync(content, { level: 9 }).length / 1024;
}

function say(name: string, heavy = 0, kB: readonly [number, number] = [0, 0]): void {
  const said = verdict(heavy, kB);
  const columns = [name.padEnd(32), heavy.toFixed(2).padStart(6), `of ${kB[1]} kB`, said];
  process.stdout.write(`${columns.join("  ")}\n`);
  if (said !== "") process.exitCode = 1;
}
