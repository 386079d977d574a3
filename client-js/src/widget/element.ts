import { type ChatMessage, type Connection, ParleyClient, type TokenReason } from "../index.ts";
import { h } from "./dom.ts";
import { Floating } from "./floating.ts";
import { Memory } from "./memory.ts";
import { Panel } from "./panel.ts";
import { bring, here, part } from "./parts.ts";
import { SITES, type Site, siteOf } from "./site.ts";
import { language, localeOf, type Strings } from "./strings.ts";
import { sheet } from "./styles.ts";

type TokenSource =
  | string
  | ((why: TokenReason) => string | undefined | Promise<string | undefined>);

/** Where pages are made on a server this module may be loaded, though there is nothing to show anything in. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/** Attributes that the client is made of. */
const CLIENTS = ["url", "site", "token"];

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
export class ParleyChat extends Base {
  static readonly observedAttributes = [...CLIENTS, ...SITES, "conversation", "preconnect"];

  readonly #shadow = this.attachShadow({ mode: "open" });
  #given: ParleyClient | undefined;
  #own: ParleyClient | undefined;
  #deaf: (() => void) | undefined;
  #panel: Panel | undefined;
  #frame: HTMLElement | undefined;
  #floating: Floating | undefined;
  #open = false;
  /** What the page sent before there was anything to show it in. */
  #early: string[] = [];
  /** In a page; what is under way for it ends when it is taken out. */
  #stay: AbortController | undefined;
  #changing = false;
  /** Built without the texts of the language that was wanted. */
  #foreign = false;
  #token: TokenSource | undefined;
  #strings: Partial<Strings> | undefined;
  #starters: readonly string[] | undefined;

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
    if (this.#stay) return; // It was only moved.
    this.#stay = new AbortController();
    this.#preconnect();
    if (this.#speaks) this.#build();
    else void this.#change();
  }

  disconnectedCallback(): void {
    // Moving an element takes it out and puts it back at once: whoever is back by now keeps the connection.
    queueMicrotask(() => {
      if (this.isConnected) return this.#panel?.restore();
      this.#stay?.abort();
      this.#stay = undefined;
      this.#changing = false;
      this.#dismantle();
      this.#dropClient();
    });
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now || !this.#stay) return;
    if (name === "conversation") this.#panel?.show(now ?? undefined);
    else if (name === "preconnect") this.#preconnect();
    else this.#rebuild(CLIENTS.includes(name));
  }

  /** The SDK's client: the element's own, or one that the page brings and keeps. */
  get client(): ParleyClient {
    this.#own ??= this.#given ? undefined : this.#makeClient();
    const client = this.#given ?? (this.#own as ParleyClient);
    this.#deaf ??= client.on("state", (state: Connection) => this.#emit("parley-state", state));
    return client;
  }

  set client(client: ParleyClient | undefined) {
    if (client === this.#given) return;
    this.#dropClient();
    this.#given = client;
    this.#rebuild(false);
  }

  get token(): TokenSource | undefined {
    return this.#token ?? this.#attribute("token");
  }

  /** Frameworks make a function anew each time they render: whoever asks for a token asks the newest one. */
  set token(token: TokenSource | undefined) {
    const before = this.token;
    this.#token = token;
    const now = this.token;
    if (before !== now && (typeof before !== "function" || typeof now !== "function"))
      this.#rebuild(true);
  }

  get strings(): Partial<Strings> | undefined {
    return this.#strings;
  }

  set strings(strings: Partial<Strings> | undefined) {
    const before = this.#strings;
    this.#strings = strings;
    if (!alike(before, strings)) this.#rebuild(false);
  }

  get starters(): readonly string[] {
    const lines = this.#attribute("starters")?.split("\n") ?? [];
    return this.#starters ?? lines.map((line) => line.trim()).filter(Boolean);
  }

  set starters(starters: readonly string[] | undefined) {
    const before = this.#starters;
    this.#starters = starters;
    if (!alike(before, starters)) this.#rebuild(false);
  }

  open(): void {
    if (this.#open || !this.isConnected) return;
    this.#open = true;
    this.#connect();
    this.#floating?.news(false);
    if (this.#frame) this.#reveal();
    this.focus();
    this.#emit("parley-open", { open: true });
  }

  close(): void {
    if (!this.#open || this.hasAttribute("inline")) return;
    this.#open = false;
    this.#floating?.close();
    this.#panel?.back(); // out of sight, where it takes no focus
    this.#emit("parley-open", { open: false });
  }

  /** Sends a text as a message of its own, whatever is being written; false where the page prevented it. */
  send(text: string): boolean {
    if (text.trim() === "" || !this.#allows(text)) return false;
    this.#early.push(text);
    this.#sendEarly();
    return true;
  }

  stop(): void {
    this.#panel?.stop();
  }

  override focus(): void {
    if (this.#floating && !this.#open) this.#floating.launcher.focus();
    else this.#panel?.focus();
  }

  #attribute(name: string): string | undefined {
    return this.getAttribute(name) ?? undefined;
  }

  get #url(): string {
    return new URL(this.#attribute("url") ?? new URL(".", import.meta.url), document.baseURI).href;
  }

  #makeClient(): ParleyClient {
    const site = this.#attribute("site");
    const bring = (why: TokenReason): ReturnType<Exclude<TokenSource, string>> => {
      const { token } = this;
      return typeof token === "function" ? token(why) : why === "first" ? token : undefined;
    };
    return new ParleyClient({
      url: this.#url,
      ...(this.token && { token: bring }),
      ...(site && { site }),
    });
  }

  #dropClient(): void {
    this.#deaf?.();
    this.#deaf = undefined;
    this.#own?.close();
    this.#own = undefined;
  }

  /** Beside the socket comes what answers are shown with. */
  #connect(): void {
    this.client.connect();
    part("answers").catch(() => {}); // the panel asks again, and tells
  }

  #sendEarly(): void {
    if (!this.#frame || !this.#early.length) return;
    this.#connect();
    for (const text of this.#early.splice(0)) this.#shown().send(text);
  }

  /** Many changes at once, as a framework makes them, are one rebuilding. */
  #rebuild(client: boolean): void {
    if (client && !this.#given) this.#dropClient();
    if (!this.#stay || this.#changing) return;
    this.#changing = true;
    queueMicrotask(() => void this.#change());
  }

  /** Builds anew, in the language that is wanted if its texts can be had now, and in it later if they come later. */
  async #change(): Promise<void> {
    if (!this.#stay) return;
    const { signal } = this.#stay;
    this.#changing = true;
    const locale = localeOf(this.#wanted);
    if (locale && !this.#speaks)
      await part(locale).catch(() => {
        void bring(locale, signal, () => {}).then(
          (came) => came && this.#foreign && this.#rebuild(false),
        );
      });
    if (signal.aborted) return;
    this.#changing = false;
    const focused = this.#shadow.activeElement;
    this.#dismantle();
    this.#build();
    if (focused) this.focus();
  }

  #dismantle(): void {
    this.#panel?.dispose();
    this.#floating?.dispose();
    this.#panel = undefined;
    this.#frame = undefined;
    this.#floating = undefined;
    this.#shadow.replaceChildren();
  }

  #build(): void {
    this.#foreign = !this.#speaks;
    const inline = this.hasAttribute("inline");
    const site = this.#site();
    if (inline) this.#frame = h("section", { part: "frame", "aria-label": site.name });
    else {
      this.#floating = new Floating(site, {
        open: () => this.open(),
        close: () => this.close(),
        back: () => this.#panel?.back() ?? false,
      });
      this.#frame = this.#floating.frame;
    }
    this.#shadow.append(this.#floating?.element ?? this.#frame);
    this.#preconnect();
    if (inline || this.#open) this.#reveal();
    this.#sendEarly();
  }

  /** Connects where that waits for nobody: for the chat that is seen, or since the page wants it. */
  #preconnect(): void {
    const now = this.hasAttribute("inline") || this.hasAttribute("preconnect");
    if (now || this.#open) this.#connect();
  }

  #reveal(): void {
    this.#shown();
    this.#floating?.open();
  }

  #shown(): Panel {
    if (this.#panel) return this.#panel;
    const memory = new Memory(this.#url, this.#attribute("site"));
    const outside = {
      allows: (content: string) => this.#allows(content),
      told: (message: Partial<ChatMessage>) => {
        if (!this.#open && message.role === "assistant") this.#floating?.news(true);
        this.#emit("parley-message", message);
      },
      failed: (error: unknown) => void this.#emit("parley-error", error),
      close: this.hasAttribute("inline") ? undefined : () => this.close(),
    };
    const conversation = this.#attribute("conversation") ?? memory.get("shown");
    this.#panel = new Panel(this.client, this.#site(), memory, outside, conversation);
    this.#frame?.replaceChildren(this.#panel.element);
    return this.#panel;
  }

  #allows(content: string): boolean {
    return this.#emit("parley-send", { content }, true);
  }

  get #wanted(): string {
    const page = this.closest("[lang]")?.getAttribute("lang") || document.documentElement.lang;
    return this.#attribute("locale") || page || "en";
  }

  /** Whether the texts of the language that is wanted are there. */
  get #speaks(): boolean {
    const locale = localeOf(this.#wanted);
    return !locale || here(locale) !== undefined;
  }

  #site(): Site {
    return siteOf(this, language(this.#wanted, this.#strings), this.starters);
  }

  /** Whether nobody prevented it. */
  #emit(type: string, detail: unknown, cancelable = false): boolean {
    return this.dispatchEvent(
      new CustomEvent(type, { detail, cancelable, bubbles: true, composed: true }),
    );
  }
}

/** Whether two values of a property say the same: a framework sets it anew each time it renders. */
function alike(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
