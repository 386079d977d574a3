/**
 * Where the parts are that the chat's first file does without. These are the words for whoever bundles the package; in what
 * the server serves the build puts its own in their place (scripts/bundle.ts), under names that say which content it is.
 */
export const found = {
  answers: () => import("./answers.ts"),
  list: () => import("./list.ts"),
  de: () => import("./locales/de.ts"),
  ar: () => import("./locales/ar.ts"),
} satisfies Readonly<Record<string, (attempt: number) => Promise<object>>>;
