/** Prints what each entry weighs, and fails where one is beyond its budget or below its floor. */

import { gzipSync } from "node:zlib";

import { bundled } from "./bundle.ts";
import { ENTRIES } from "./entries.ts";
import { verdict } from "./verdict.ts";

const ROOT = process.cwd(); // npm runs this in client-js

for (const { source, glue, kB } of ENTRIES) {
  const others = ENTRIES.map((entry) => entry.source).filter((other) => other !== source);
  const content = await bundled(ROOT, source, glue ? others : []);
  const weight = gzipSync(content, { level: 9 }).length / 1024;
  const said = verdict(weight, kB);
  const columns = [source.padEnd(24), weight.toFixed(2).padStart(6), `of ${kB[1]} kB`, said];
  process.stdout.write(`${columns.join("  ")}\n`);
  if (said !== "") process.exitCode = 1;
}
