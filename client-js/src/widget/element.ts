import { type Connection, ParleyClient, type TokenReason } from "../index.ts";
import { h, show } from "./dom.ts";
import { iconButton } from "./icons.ts";
import { Memory } from "./memory.ts";
import { Panel, type Site } from "./panel.ts";
import { type Language, language, type Strings } from "./strings.ts";
import { sheet } from "./styles.ts";

type TokenSource =
  | string
  | ((why: TokenReason) => string | undefined | Promise<string | undefined>);

/** Narrower than this the floating panel is the whole screen, and nothing else on it can be reached. */
const PHONE = "(max-width: 480px)";

/** Attributes that the client is made of, and those that the panel is. */
const CLIENTS = ["url", "site", "token"];
const PANELS = [
  "name",
  "greeting",
  "starters",
  "logo",
  "placeholder",
  "image-origins",
  "locale",
  "lang",
  "inline",
];

/** Properties that a page may have set before this module ran; they would hide the accessors of the class. */
const PROPERTIES = ["client", "token", "strings", "starters"] as const;

/**
 * `<parley-chat>`: a chat in a page, floating behind a launcher or `inline`.
 *
 * Attributes: `url` (the server's folder; by default that of this module), `site`, `token`, `conversation`, `name`,
 * `greeting`, `starters` (a question per line), `logo` (the page's own, or a data: URL), `placeholder`,
 * `image-origins`, `locale`, `theme` (`auto`, `light`, `dark`), `inline`, `preconnect`. Colours and sizes are the
 * variables of variables.ts; every region is a part; slots are `header`, `empty` and `footer`. Events: `parley-send`
 * (may be prevented), `parley-message`, `parley-state`, `parley-error`, `parley-open`.
 */
export class ParleyChat extends HTMLElement {
  static readonly observedAttributes = [...CLIENTS, ...PANELS, "conversation", "preconnect"];

  readonly #shadow = this.attachShadow({ mode: "open" });
  #client: ParleyClient | undefined;
  #given = false;
  #deaf: (() => void) | undefined;
  #panel: Panel | undefined;
  #frame: HTMLElement | HTMLDialogElement | undefined;
  #launcher: HTMLElement | undefined;
  #open = false;
  #rebuilding = false;
  #token: TokenSource | undefined;
  #strings: Partial<Strings> | undefined;
  #starters: readonly string[] | undefined;
  readonly #phone = matchMedia(PHONE);

  constructor() {
    super();
    this.#shadow.adoptedStyleSheets = [sheet()];
  }

  connectedCallback(): void {
    for (const name of PROPERTIES) {
      if (!Object.hasOwn(this, name)) continue;
      const value = Reflect.get(this, name);
      Reflect.deleteProperty(this, name);
      Reflect.set(this, name, value);
    }
    if (this.#frame) return; // It was only moved.
    this.#phone.addEventListener("change", this.#refit);
    this.#build();
  }

  disconnectedCallback(): void {
    // Moving an element takes it out and puts it back at once: whoever is back by now keeps the connection.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#phone.removeEventListener("change", this.#refit);
      this.#dismantle();
      this.#dropClient();
    });
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.#frame) return;
    if (name === "conversation") this.#panel?.show(now ?? undefined);
    else if (name === "preconnect") this.#preconnect();
    else this.#rebuild(CLIENTS.includes(name));
  }

  /** The SDK's client: the element's own, or one that the page brings and keeps. */
  get client(): ParleyClient {
    if (!this.#client) this.#adopt(this.#makeClient(), false);
    return this.#client as ParleyClient;
  }

  set client(client: ParleyClient) {
    this.#dropClient();
    this.#adopt(client, true);
    this.#rebuild(false);
  }

  get token(): TokenSource | undefined {
    return this.#token ?? this.#attribute("token");
  }

  set token(token: TokenSource | undefined) {
    this.#token = token;
    this.#rebuild(true);
  }

  get strings(): Partial<Strings> | undefined {
    return this.#strings;
  }

  set strings(strings: Partial<Strings> | undefined) {
    this.#strings = strings;
    this.#rebuild(false);
  }

  get starters(): readonly string[] {
    const lines = this.#attribute("starters")?.split("\n") ?? [];
    return this.#starters ?? lines.map((line) => line.trim()).filter(Boolean);
  }

  set starters(starters: readonly string[] | undefined) {
    this.#starters = starters;
    this.#rebuild(false);
  }

  open(): void {
    if (this.#open || !this.isConnected) return;
    this.#open = true;
    this.#reveal();
    this.focus();
    this.#emit("parley-open", { open: true });
  }

  close(): void {
    if (!this.#open || this.hasAttribute("inline")) return;
    this.#open = false;
    if (this.#frame instanceof HTMLDialogElement) this.#frame.close();
    if (this.#launcher) {
      show(this.#launcher, true);
      this.#launcher.focus();
    }
    this.#emit("parley-open", { open: false });
  }

  /** Sends a text as if it had been written here; false where the page prevented it. */
  send(text: string): boolean {
    return text.trim() !== "" && this.#shown().send(text);
  }

  stop(): void {
    this.#panel?.stop();
  }

  override focus(): void {
    if (this.#panel) this.#panel.focus();
    else this.#launcher?.focus();
  }

  #attribute(name: string): string | undefined {
    return this.getAttribute(name) ?? undefined;
  }

  get #url(): string {
    return new URL(this.#attribute("url") ?? new URL(".", import.meta.url), document.baseURI).href;
  }

  #makeClient(): ParleyClient {
    const { token } = this;
    const site = this.#attribute("site");
    return new ParleyClient({ url: this.#url, ...(token && { token }), ...(site && { site }) });
  }

  #adopt(client: ParleyClient, given: boolean): void {
    this.#client = client;
    this.#given = given;
    this.#deaf = client.on("state", (state: Connection) => this.#emit("parley-state", state));
  }

  #dropClient(): void {
    this.#deaf?.();
    if (!this.#given) this.#client?.close();
    this.#client = undefined;
  }

  /** Many changes at once, as a framework makes them, are one rebuilding. */
  #rebuild(client: boolean): void {
    if (client && !this.#given) this.#dropClient();
    if (!this.#frame || this.#rebuilding) return;
    this.#rebuilding = true;
    queueMicrotask(() => {
      this.#rebuilding = false;
      if (!this.#frame) return;
      this.#dismantle();
      this.#build();
    });
  }

  #dismantle(): void {
    this.#panel?.dispose();
    this.#panel = undefined;
    this.#frame = undefined;
    this.#launcher = undefined;
    this.#shadow.replaceChildren();
  }

  #build(): void {
    const inline = this.hasAttribute("inline");
    const { name } = this.#site();
    const { t, direction } = this.#language();
    if (inline) {
      this.#frame = h("section", { class: "frame", "aria-label": name });
      this.#shadow.append(this.#frame);
      this.#reveal();
      return;
    }
    this.#launcher = iconButton("chat", t("open"), () => this.open(), {
      part: "launcher",
      class: "",
      "aria-haspopup": "dialog",
    });
    const cancel = (event: Event): void => {
      event.preventDefault();
      this.close();
    };
    this.#frame = h("dialog", { class: "frame", "aria-label": name, on: { cancel } });
    this.#shadow.append(
      h("section", { dir: direction, "aria-label": name }, this.#launcher, this.#frame),
    );
    if (this.#open) this.#reveal();
    this.#preconnect();
  }

  #preconnect(): void {
    if (this.hasAttribute("preconnect")) this.client.connect();
  }

  #reveal(): void {
    this.client.connect();
    this.#shown();
    if (!(this.#frame instanceof HTMLDialogElement)) return;
    if (this.#launcher) show(this.#launcher, false);
    if (this.#phone.matches) this.#frame.showModal();
    else this.#frame.show();
  }

  readonly #refit = (): void => {
    if (!this.#open || !(this.#frame instanceof HTMLDialogElement)) return;
    this.#frame.close();
    this.#reveal();
  };

  #shown(): Panel {
    if (this.#panel) return this.#panel;
    const memory = new Memory(this.#url);
    const outside = {
      allows: (content: string) => this.#emit("parley-send", { content }, true),
      told: (message: unknown) => void this.#emit("parley-message", message),
      failed: (error: unknown) => void this.#emit("parley-error", error),
      close: this.hasAttribute("inline") ? undefined : () => this.close(),
    };
    const conversation = this.#attribute("conversation") ?? memory.get("shown");
    this.#panel = new Panel(this.client, this.#site(), memory, outside, conversation);
    this.#frame?.replaceChildren(this.#panel.element);
    return this.#panel;
  }

  #language(): Language {
    const page = this.closest("[lang]")?.getAttribute("lang") || document.documentElement.lang;
    return language(this.#attribute("locale") || page || "en", this.#strings);
  }

  #site(): Site {
    const of = this.#language();
    return {
      language: of,
      name: this.#attribute("name") ?? of.t("title"),
      greeting: this.#attribute("greeting") ?? of.t("greeting"),
      starters: this.starters,
      placeholder: this.#attribute("placeholder") ?? of.t("placeholder"),
      logo: this.#attribute("logo"),
      imageOrigins: this.#attribute("image-origins")?.split(/\s+/).filter(Boolean) ?? [],
    };
  }

  /** Whether nobody prevented it. */
  #emit(type: string, detail: unknown, cancelable = false): boolean {
    return this.dispatchEvent(
      new CustomEvent(type, { detail, cancelable, bubbles: true, composed: true }),
    );
  }
}
