/** All that is true under AI SDK 6 is true under AI SDK 7, whose engine wants a Node of its own but needs none. */

import { register } from "node:module";

const resolve = `export const resolve = (name, context, next) => next(name === "ai" ? "ai7" : name, context);`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);
await import("./ai-sdk.test.ts");
