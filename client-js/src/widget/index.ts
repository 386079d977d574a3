import { ParleyChat } from "./element.ts";

// A page may load this twice; a name is defined once.
if (!customElements.get("parley-chat")) customElements.define("parley-chat", ParleyChat);

export { ParleyChat };

declare global {
  interface HTMLElementTagNameMap {
    "parley-chat": ParleyChat;
  }
}
