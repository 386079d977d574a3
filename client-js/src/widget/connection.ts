import type { Connection, ParleyClient } from "../index.ts";
import type { Announcer } from "./announcer.ts";
import { focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { explain } from "./explain.ts";
import { icon, iconButton } from "./icons.ts";
import type { Text, Translate } from "./strings.ts";

/** How long a connection may be made without a word about it. */
const QUIET_MS = 1500;

/** A state of the connection in words, and what can be done about it. */
export interface Told {
  readonly text: string;
  readonly action?: Text;
}

/** What to tell of a connection; nothing where all is well. `left`: ms until the next attempt. */
export function tell(
  connection: Connection,
  left: number,
  online: boolean,
  t: Translate,
): Told | undefined {
  switch (connection.state) {
    case "connecting":
      return { text: t("connecting") };
    case "waiting":
      if (!online) return { text: t("offline") };
      return { text: t("waiting", { s: Math.max(Math.ceil(left / 1000), 0) }), action: "retry" };
    case "closed": {
      const said = [t("closed"), explain(connection.error?.code, t)];
      return { text: [...new Set(said)].join(" ").trim(), action: "retry" };
    }
    default:
      return undefined;
  }
}

/** The line that tells how the connection stands. A drop is a state of the line and never a message in the talk. */
export class ConnectionBar {
  readonly element = h("div", { part: "connection", hidden: true });
  readonly #text = h("span");
  readonly #button = h("button", {
    type: "button",
    class: "link",
    on: { click: () => this.#act() },
  });
  readonly #client: ParleyClient;
  readonly #t: Translate;
  readonly #announcer: Announcer;
  readonly #leave: () => void;
  readonly #deaf: readonly (() => void)[];
  #since = Date.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #trouble = false;
  #vain = false;

  /** `leave` is where focus goes when the button that had it is gone. */
  constructor(client: ParleyClient, t: Translate, announcer: Announcer, leave: () => void) {
    this.#client = client;
    this.#t = t;
    this.#announcer = announcer;
    this.#leave = leave;
    this.element.append(icon(drawings.cut), this.#text, this.#button);
    const redraw = (): void => this.#draw();
    addEventListener("online", redraw);
    addEventListener("offline", redraw);
    this.#deaf = [
      client.on("state", () => this.#changed()),
      () => removeEventListener("online", redraw),
      () => removeEventListener("offline", redraw),
    ];
    this.#changed();
  }

  dispose(): void {
    clearInterval(this.#timer);
    for (const end of this.#deaf) end();
  }

  #changed(): void {
    const { state } = this.#client.connection;
    this.#since = Date.now();
    this.#vain = false;
    clearInterval(this.#timer);
    // The first connection is nobody's trouble until it takes long.
    if (state === "connecting" && !this.#trouble)
      this.#timer = setTimeout(() => this.#draw(), QUIET_MS);
    else this.#draw();
    if (state === "waiting") this.#timer = setInterval(() => this.#draw(), 1000);
    const trouble = state === "waiting" || state === "closed";
    if (trouble && !this.#trouble) this.#announcer.say(this.#text.textContent ?? "");
    if (state === "open" && this.#trouble) this.#announcer.say(this.#t("back"));
    if (trouble || state === "open") this.#trouble = trouble;
  }

  #draw(): void {
    const { connection } = this.#client;
    const left =
      connection.state === "waiting" ? connection.retryIn - (Date.now() - this.#since) : 0;
    const told = tell(connection, left, navigator.onLine, this.#t);
    this.#text.textContent = told?.text ?? "";
    this.#button.textContent = told?.action ? this.#t(told.action) : "";
    this.#offer(told?.action !== undefined);
    show(this.element, told !== undefined);
  }

  #offer(action: boolean): void {
    const focused = focusedBeside(this.#button) === this.#button;
    show(this.#button, action && !this.#vain);
    if (focused && this.#button.hidden) this.#leave();
  }

  #act(): void {
    const { connection } = this.#client;
    if (connection.state === "closed") this.#client.connect();
    else this.#client.reconnect();
    // A delay that the server named runs on, and asking again would change nothing.
    this.#vain = this.#client.connection === connection;
    this.#offer(true);
  }
}

/** A word outside the talk, from the operator or about a refusal, until it is put away. */
export class Notice {
  readonly element = h("div", { part: "notice", hidden: true });
  readonly #text = h("span", { dir: "auto" });

  constructor(t: Translate, leave: () => void) {
    const away = (): void => {
      this.show("");
      leave();
    };
    this.element.append(this.#text, iconButton(drawings.close, t("close"), away));
  }

  show(text: string): void {
    this.#text.textContent = text;
    show(this.element, text !== "");
  }
}
