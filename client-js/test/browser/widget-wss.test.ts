/** The chat as sites embed it: another origin, TLS, a proxy, a folder that is not the root. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";

import { answerText, say, script, settled } from "./chat.ts";
import { lastFirst } from "./ends.ts";
import { type Certificate, Nginx } from "./nginx.ts";
import { browser, opened } from "./pages.ts";
import { environment, Parley } from "./parley.ts";

const SETTINGS = {
  PARLEY_ENV: "production",
  PARLEY_JWT_SECRET: "a secret that only this test knows, 32 bytes",
  PARLEY_JWT_ISSUER: "https://shop.example",
  PARLEY_JWT_AUDIENCE: "parley",
  PARLEY_BASE_PATH: "/chat",
  PARLEY_TRUSTED_PROXIES: "127.0.0.1",
  PARLEY_LIMITS_ARRIVALS_PER_MINUTE: "5",
  PARLEY_SCRIPTED: "1",
  PARLEY_MODEL: "scripted",
} as const;
const chromium = await browser();

test("a page of another origin talks over wss below /chat/, through a reload of the proxy", async (t) => {
  const { nginx, shop } = await embedded(t);
  const { page, seen } = await opened(t, chromium, { ignoreHTTPSErrors: true });
  await page.goto(shop.url);
  const chat = page.locator("parley-chat");
  const visit = {
    page,
    seen,
    chat,
    field: chat.locator("textarea"),
    messages: chat.locator("article"),
  };
  const sockets: string[] = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await say(visit, script({ tokens: 300, text: "word ", every_ms: 10 }));
  await chat.getByText("word word").waitFor();
  const again = page.waitForEvent("websocket");
  nginx.reload(); // a second later the socket is cut, in the middle of the answer
  await again;
  await settled(visit);
  assert.equal(await answerText(visit), "word ".repeat(300).trim());
  assert.deepEqual(new Set(sockets), new Set([`wss://chat.example:${nginx.port}/chat/ws`]));
  assert.deepEqual([...seen.requests.keys()].sort(), [
    `https://chat.example:${nginx.port}`,
    shop.url,
    `wss://chat.example:${nginx.port}`,
  ]);
});

test("an address that a client makes up for itself changes nothing", async (t) => {
  const { nginx } = await embedded(t);
  const arrive = (at: number) =>
    new Promise<number | undefined>((found, failed) => {
      const headers = {
        Host: `chat.example:${nginx.port}`,
        "Content-Type": "application/json",
        "X-Forwarded-For": `203.0.113.${at}`,
        Forwarded: `for=203.0.113.${at}`,
      };
      const path = "/chat/api/v1/visitors";
      const options = { host: "127.0.0.1", port: nginx.port, path, method: "POST", headers };
      request(
        { ...options, ca: nginx.certificate.cert, servername: "chat.example" },
        (response) => {
          response.resume();
          found(response.statusCode);
        },
      )
        .on("error", failed)
        .end('{"site":"none"}');
    });
  const statuses = [];
  for (let at = 0; at < 8; at++) statuses.push(await arrive(at));
  assert.deepEqual(statuses, [404, 404, 404, 404, 404, 429, 429, 429]);
});

/** A shop whose page has the chat in it, which is another origin's, behind a proxy. */
async function embedded(t: TestContext) {
  let nginx: Nginx | undefined;
  const at = () => `chat.example:${nginx?.port}/chat`;
  const after = lastFirst(t);
  const certificate = Nginx.certified();
  const shop = await shopOf(t, certificate, (path) => {
    const signed = JSON.stringify(token());
    if (path === "/page.js")
      return `document.querySelector("parley-chat").token = () => ${signed};`;
    return `<!doctype html><html lang="en"><title>A shop</title><link rel="icon" href="data:,">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data:;
        script-src 'self' https://chat.example:${nginx?.port};
        connect-src https://chat.example:${nginx?.port} wss://chat.example:${nginx?.port};
        require-trusted-types-for 'script'; trusted-types 'none'">
      <parley-chat inline></parley-chat>
      <script type="module" src="page.js"></script>
      <script type="module" src="https://${at()}/widget.js"></script>`;
  });
  const parley = await Parley.started(after, { ...SETTINGS, PARLEY_ALLOWED_ORIGINS: shop.url });
  nginx = await Nginx.before(parley.port, certificate, after);
  return { shop, nginx };
}

async function shopOf(
  t: TestContext,
  { key, cert }: Certificate,
  answer: (path: string) => string,
): Promise<{ readonly url: string }> {
  const server = createServer({ key, cert }, ({ url = "" }, response) => {
    const type = url.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
    response.setHeader("Content-Type", type);
    response.end(answer(url));
  });
  server.listen(0, "127.0.0.1");
  lastFirst(t)(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  await once(server, "listening");
  return { url: `https://shop.example:${(server.address() as AddressInfo).port}` };
}

/** What the shop's own server signs for whoever is logged in there. */
function token(): string {
  const root = resolve("..");
  return execFileSync(join(root, ".venv/bin/python"), ["-m", "server", "token", "--user", "ada"], {
    cwd: root,
    encoding: "utf8",
    env: { ...environment(), ...SETTINGS },
  }).trim();
}
