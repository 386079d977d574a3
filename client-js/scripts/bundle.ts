/** How esbuild is called: the same bytes of the same sources, wherever they lie. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { type BuildOptions, build, type OutputFile, type Plugin } from "esbuild";

import type { Entry, Served } from "./entries.ts";

const ALIKE = {
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  packages: "external",
  target: "es2022",
  write: false,
} as const satisfies BuildOptions;

/** One file with everything in it; only packages, and the sources named, stay outside. */
export async function bundled(
  root: string,
  source: string,
  external: readonly string[] = [],
  plugins: readonly Plugin[] = [],
): Promise<Uint8Array> {
  const { outputFiles } = await build({
    ...ALIKE,
    absWorkingDir: root,
    entryPoints: [source],
    external: external.map((path) => `./${path}`),
    minify: true,
    plugins: [squeezed, ...plugins],
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error(`${source} came to nothing`);
  return file.contents;
}

/**
 * A file under the name that it is served by, and the parts that it loads later, each whole by itself: none waits for
 * another one. Their names say what is in them, so that each may be kept for good, and meets only what it was built with.
 */
export async function served(
  root: string,
  { source, served: name, parts }: Served,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const paths: Record<string, string> = {};
  for (const [part, { source: from }] of Object.entries(parts?.of ?? {})) {
    const content = await bundled(root, from);
    const path = `parts/${part}-${createHash("sha256").update(content).digest("hex").slice(0, 12)}.js`;
    paths[part] = `./${path}`;
    files.set(path, content);
  }
  const plugins = parts ? [finds(parts.found, paths)] : [];
  return new Map([[name, await bundled(root, source, [], plugins)], ...files]);
}

/** In the place of what a bundler would find: the addresses of the parts, seen from the file that loads them. */
function finds(found: string, paths: Readonly<Record<string, string>>): Plugin {
  const contents = `const at = (path) => (attempt) => import(attempt ? \`\${path}?\${attempt}\` : path);
export const found = { ${Object.entries(paths).map(([part, path]) => `${part}: at("${path}")`)} };`;
  return {
    name: "finds",
    setup({ onLoad, initialOptions }) {
      const path = resolve(initialOptions.absWorkingDir ?? "", found);
      onLoad({ filter: /\.ts$/ }, (file) => (file.path === path ? { contents } : undefined));
    },
  };
}

/** Style sheets without the breaks between their rules. */
const squeezed: Plugin = {
  name: "squeezed",
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]styles[.\w]*\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(/(?<=[{}`])\n(?=[.:*@}a-z[`])/g, ""),
      loader: "ts",
    }));
  },
};

/** The package's modules; what several of them need is a file of its own, loaded once. */
export async function packaged(
  root: string,
  entries: readonly Entry[],
): Promise<readonly OutputFile[]> {
  const { outputFiles } = await build({
    ...ALIKE,
    absWorkingDir: root,
    chunkNames: "shared/[name]-[hash]",
    entryPoints: entries
      .filter(({ exported }) => exported !== undefined)
      .map(({ source }) => source),
    outbase: "src",
    outdir: "dist",
    sourcemap: "linked",
    sourcesContent: false, // the sources are in the package too
    splitting: true,
  });
  return outputFiles;
}
