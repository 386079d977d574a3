/** What is built of `src`, under which names it goes out, and how big it may be. */

export interface Entry {
  /** Where it begins. */
  readonly source: string;
  /** Its name in package.json's `exports`. */
  readonly exported?: string;
  /** Its file in `server/static`: all that it needs to begin with. */
  readonly served?: string;
  /** What it loads later. */
  readonly parts?: Parts;
  /** Of another entry's glue nothing but itself counts: what it imports of the others is theirs. */
  readonly glue?: true;
  /** The least and the most that it may be, minified and gzipped, in kB of 1024 bytes. */
  readonly kB: readonly [floor: number, budget: number];
}

/** Parts of a served file, each a file of its own in `server/static/parts`. */
export interface Parts {
  /** The source that finds them, as long as somebody else bundles it. */
  readonly found: string;
  readonly of: Readonly<Record<string, Pick<Entry, "source" | "kB">>>;
  /** The bounds of all of it together, the first file included. */
  readonly kB: Entry["kB"];
}

export type Served = Entry & { readonly served: string };

export const ENTRIES: readonly Entry[] = [
  { source: "src/index.ts", exported: ".", served: "client.js", kB: [3, 11.9] },
  {
    source: "src/widget/index.ts",
    exported: "./widget",
    served: "widget.js",
    kB: [8, 25],
    parts: {
      found: "src/widget/found.ts",
      of: {
        answers: { source: "src/widget/answers.ts", kB: [9, 15.9] },
        list: { source: "src/widget/list.ts", kB: [1.5, 3] },
        de: { source: "src/widget/locales/de.ts", kB: [0.5, 1.5] },
        ar: { source: "src/widget/locales/ar.ts", kB: [0.5, 1.7] },
      },
      kB: [30, 45.7],
    },
  },
  { source: "src/markdown/index.ts", exported: "./markdown", kB: [2, 7.6] },
  { source: "src/react.ts", exported: "./react", served: "react.js", glue: true, kB: [0.3, 1] },
  { source: "src/msgpack.ts", exported: "./msgpack", glue: true, kB: [0.12, 0.7] },
  { source: "src/ai-sdk.ts", exported: "./ai-sdk", glue: true, kB: [1.2, 2.5] },
  { source: "src/demo/index.ts", served: "demo.js", kB: [0.5, 2] },
];

export function isServed(entry: Entry): entry is Served {
  return entry.served !== undefined;
}

/** What package.json has to say under `exports`. */
export function exportsOf(entries: readonly Entry[]): Record<string, unknown> {
  const rows = entries.flatMap(({ source, exported }) => {
    if (exported === undefined) return [];
    const built = source.replace(/^src\//, "./dist/").replace(/\.ts$/, "");
    return [[exported, { types: `${built}.d.ts`, default: `${built}.js` }] as const];
  });
  return Object.fromEntries(rows);
}
