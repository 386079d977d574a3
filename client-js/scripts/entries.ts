/** What is built of `src`, under which names it goes out, and how big it may be. */

export interface Entry {
  /** Where it begins. */
  readonly source: string;
  /** Its name in package.json's `exports`. */
  readonly exported?: string;
  /** Its file in `server/static`, whole. */
  readonly served?: string;
  /** Of another entry's glue nothing but itself counts: what it imports of the others is theirs. */
  readonly glue?: true;
  /** The least and the most that it may be, minified and gzipped, in kB of 1024 bytes. */
  readonly kB: readonly [floor: number, budget: number];
}

export const ENTRIES: readonly Entry[] = [
  { source: "src/index.ts", exported: ".", served: "client.js", kB: [3, 11.8] },
  { source: "src/widget/index.ts", exported: "./widget", served: "widget.js", kB: [8, 36.9] },
  { source: "src/markdown/index.ts", exported: "./markdown", kB: [2, 7.6] },
  { source: "src/react.ts", exported: "./react", served: "react.js", glue: true, kB: [0.3, 1] },
  { source: "src/msgpack.ts", exported: "./msgpack", glue: true, kB: [0.12, 0.7] },
  { source: "src/ai-sdk.ts", exported: "./ai-sdk", glue: true, kB: [1.2, 2.5] },
  { source: "src/demo/index.ts", served: "demo.js", kB: [0.5, 2] },
];

/** What package.json has to say under `exports`. */
export function exportsOf(entries: readonly Entry[]): Record<string, unknown> {
  const rows = entries.flatMap(({ source, exported }) => {
    if (exported === undefined) return [];
    const built = source.replace(/^src\//, "./dist/").replace(/\.ts$/, "");
    return [[exported, { types: `${built}.d.ts`, default: `${built}.js` }] as const];
  });
  return Object.fromEntries(rows);
}
