/** How esbuild is called: the same bytes of the same sources, wherever they lie. */

import { type BuildOptions, build, type OutputFile } from "esbuild";

import type { Entry } from "./entries.ts";

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
): Promise<Uint8Array> {
  const { outputFiles } = await build({
    ...ALIKE,
    absWorkingDir: root,
    entryPoints: [source],
    external: external.map((path) => `./${path}`),
    minify: true,
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error(`${source} came to nothing`);
  return file.contents;
}

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
