import { ParleyChat } from "./element.ts";

// A page may load this twice; a name is defined once.
if (globalThis.customElements?.get("parley-chat") === undefined)
  globalThis.customElements?.define("parley-chat", ParleyChat);

export { ParleyChat };

declare global {
  interface HTMLElementTagNameMap {
    "parley-chat": ParleyChat;
  }
}
