/** The server's HTTP side, beside the socket. */

import { ParleyError } from "./errors.ts";
import type { ErrorFrame } from "./frames.ts";
import type { Outside } from "./outside.ts";

/** Why a token is wanted: none was given yet, it ends soon, it has ended, or the server refused it. */
export type TokenReason = "first" | "expiring" | "expired" | "refused";
export type TokenSource = (why: TokenReason) => Promise<string | undefined>;

/** What a request says beside its path. `body` is written as JSON. */
export interface FetchOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** The folder that the server's paths stand in, from its own address or from its socket's. */
export function folderOf(url: string | URL): string {
  const { href } = new URL(".", new URL(url, globalThis.document?.baseURI));
  return href.replace(/^ws/, "http");
}

/** One request for JSON or text; a `ParleyError` where it fails. */
export async function request(
  outside: Outside,
  url: string,
  { method = "GET", body, signal }: FetchOptions,
  token?: string,
): Promise<unknown> {
  const headers = {
    ...(token && { Authorization: `Bearer ${token}` }),
    ...(body !== undefined && { "Content-Type": "application/json" }),
  };
  let response: Response;
  let said: unknown;
  try {
    response = await outside.fetch(url, {
      method,
      headers,
      credentials: "omit",
      body: JSON.stringify(body) ?? null,
      signal: signal ?? null,
    });
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    said = await (isJson ? response.json() : response.text());
  } catch (error) {
    signal?.throwIfAborted();
    throw new ParleyError("offline", `The server was not reached: ${error}`, { retryable: true });
  }
  if (!response.ok) throw refusal(response, said);
  return said;
}

function refusal({ status, headers }: Response, said: unknown): ParleyError {
  const told = (said as { error?: Partial<ErrorFrame> } | undefined)?.error;
  const { code, message } = told ?? {};
  if (code && message && typeof told?.retryable === "boolean") {
    return new ParleyError(code, message, { ...told, status });
  }
  // Not Parley's own words: something between, which may pass.
  const retryable = status >= 500 || status === 429;
  const wait = Number(headers.get("retry-after")) * 1000;
  const more = { retryable, status, ...(wait > 0 && { retry_after_ms: wait }) };
  return new ParleyError("unavailable", `The server answered with status ${status}.`, more);
}

/** What is kept of a visitor. The renewal is good for one use, and using an older one shuts the visitor out. */
interface Visit {
  readonly token: string;
  readonly renewal: string;
  readonly expires_at: string;
}

const SPARE_MS = 90_000; // a token that ends sooner is not worth beginning with

/** Lets a page's visitor in, and in again: who they are is kept for as long as the site lets it. */
export function visitors(outside: Outside, folder: string, site: string | undefined): TokenSource {
  const { site: store } = outside;
  const key = `parley:visitor:${folder}:${site ?? ""}`;
  let given: string | undefined;
  const arrive = async (kept: Visit | undefined): Promise<Visit> => {
    const body = { ...(site && { site }), ...(kept && { renewal: kept.renewal }) };
    const before = store.getItem(key);
    const said = await request(outside, `${folder}api/v1/visitors`, { method: "POST", body });
    const visit = visitOf(said);
    if (!visit)
      throw new ParleyError("unavailable", "This is no visitor's token.", { retryable: true });
    // Another tab may have been faster, where tabs know nothing of each other: then its word counts.
    const other = store.getItem(key) === before ? undefined : keptOf(store.getItem(key));
    if (!other) store.setItem(key, JSON.stringify(visit));
    return other ?? visit;
  };
  const come = async (): Promise<Visit> => {
    const kept = keptOf(store.getItem(key));
    // One that was given before is asked about because it is not good any more.
    if (kept && kept.token !== given && Date.parse(kept.expires_at) - Date.now() > SPARE_MS)
      return kept;
    try {
      return await arrive(kept);
    } catch (error) {
      if (!kept || (error as ParleyError).code !== "unauthenticated") throw error;
      store.removeItem(key);
      return arrive(undefined); // what we kept is no longer good, so they come as somebody new
    }
  };
  return () =>
    outside.alone(key, async () => {
      given = (await come()).token;
      return given;
    });
}

function keptOf(text: string | null): Visit | undefined {
  try {
    return visitOf(JSON.parse(text ?? ""));
  } catch {
    return undefined;
  }
}

function visitOf(said: unknown): Visit | undefined {
  const { token, renewal } = (said ?? {}) as Partial<Visit>;
  return token && renewal ? (said as Visit) : undefined;
}
