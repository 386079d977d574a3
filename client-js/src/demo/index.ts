/** The page at `/`: what stands there without the chat, and a look at the chat's frames. */

import { frameList, type Watched } from "./frames.ts";
import { snippet } from "./snippet.ts";

interface Chat extends HTMLElement {
  readonly client: Watched;
}

/** An element that the page has; without it the page is another one. */
function element<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as E;
}

snippet(element("snippet"), element("copy"), element("copied"));

const watch = frameList(element("frames"), element("seen"), element("count"));
await customElements.whenDefined("parley-chat");
const chat = document.querySelector<Chat>("parley-chat");
if (chat !== null) watch(chat.client);
