import type { ParleyError } from "../index.ts";
import type { Text, Translate } from "./strings.ts";

const EXPLAINED: { readonly [code in ParleyError["code"]]?: Text } = {
  message_too_long: "tooLong",
  payload_too_large: "tooLong",
  context_too_long: "tooLong",
  rate_limited: "tooMany",
  quota_exceeded: "tooMany",
  forbidden: "blocked",
  unauthenticated: "blocked",
  not_found: "gone",
  content_blocked: "blocked",
  busy: "busy",
  overloaded: "busy",
  unavailable: "busy",
  provider_busy: "busy",
  offline: "unreached",
  closed: "closed",
};

/**
 * An error in the reader's language, nothing where there is no more to say than that it is one; what the server wrote
 * is for the site's people and stays in `parley-error`.
 */
export function explain(code: ParleyError["code"] | undefined, t: Translate): string {
  const known = code && EXPLAINED[code];
  return known ? t(known) : "";
}
