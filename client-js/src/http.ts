/** The server's HTTP side, beside the socket. */

import { ParleyError } from "./errors.ts";
import type { Outside } from "./outside.ts";

/** Why a token is wanted: none was given yet, it ends soon, it has ended, or the server refused it. */
export type TokenReason = "first" | "expiring" | "expired" | "refused";
export type TokenSource = (why: TokenReason) => Promise<string | undefined>;

export interface Request {
  readonly method?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** The folder that the server's paths stand in, from its own address or from its socket's. */
export function folderOf(url: string | URL): string {
  const { protocol, host, pathname } = new URL(url, globalThis.document?.baseURI);
  const folder = pathname.replace(/\/ws$/, "/").replace(/[^/]*$/, "");
  return `${protocol.replace(/^ws/, "http")}//${host}${folder}`;
}

/** One request for JSON or text; a `ParleyError` where it fails. */
export async function request(
  outside: Outside,
  url: string,
  { method = "GET", body, signal }: Request,
  token?: string,
): Promise<unknown> {
  const headers: Record<string, string> = {};
  if (token) headers["Authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  let said: unknown;
  try {
    const init: RequestInit = { method, headers, credentials: "omit" };
    if (body !== undefined) init.body = JSON.stringify(body);
    if (signal) init.signal = signal;
    response = await outside.fetch(url, init);
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    said = response.status === 204 ? undefined : await (isJson ? response.json() : response.text());
  } catch (error) {
    signal?.throwIfAborted();
    throw new ParleyError("offline", `The server was not reached: ${error}`, { retryable: true });
  }
  if (!response.ok) throw refusal(response.status, said);
  return said;
}

function refusal(status: number, said: unknown): ParleyError {
  const told = (said as { error?: { code: ParleyError["code"]; message: string } } | undefined)
    ?.error;
  if (told) return new ParleyError(told.code, told.message, { ...told, status });
  // Not Parley's own words: something between, which may pass.
  const retryable = status >= 500 || status === 429;
  return new ParleyError("unavailable", `The server answered with status ${status}.`, {
    retryable,
    status,
  });
}

/** Lets a page's visitor in, and in again: who they are is kept for as long as the site lets it. */
export function visitors(outside: Outside, folder: string, site: string | undefined): TokenSource {
  const key = `parley:visitor:${folder}:${site ?? ""}`;
  const arrive = async (renewal: string | null): Promise<string> => {
    const body = { ...(site && { site }), ...(renewal && { renewal }) };
    const said = await request(outside, `${folder}api/v1/visitors`, { method: "POST", body });
    const arrival = said as { token: string; renewal: string };
    outside.site.setItem(key, arrival.renewal);
    return arrival.token;
  };
  return async () => {
    const renewal = outside.site.getItem(key);
    try {
      return await arrive(renewal);
    } catch (error) {
      if (!renewal || (error as ParleyError).code !== "unauthenticated") throw error;
      outside.site.removeItem(key);
      return arrive(null); // what we kept is no longer good, so they come as somebody new
    }
  };
}
