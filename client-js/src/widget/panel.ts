import type { Answer, ChatMessage, Conversation, ParleyClient } from "../index.ts";
import { ParleyError } from "../index.ts";
import { Announcer, AnswerNews } from "./announcer.ts";
import { Composer } from "./composer.ts";
import { ConnectionBar, Notice } from "./connection.ts";
import { byFinger, focusedBeside, h, show } from "./dom.ts";
import { explain } from "./explain.ts";
import { header, welcome } from "./front.ts";
import { composes } from "./keys.ts";
import { leave, stay } from "./leaving.ts";
import type { ConversationList } from "./list.ts";
import type { Memory } from "./memory.ts";
import { bring, here, type Part, part } from "./parts.ts";
import type { Room } from "./room.ts";
import type { Sheet } from "./sheet.ts";
import type { Language } from "./strings.ts";
import { Transcript } from "./transcript.ts";

/** What a site sets. */
export interface Site {
  readonly language: Language;
  readonly name: string;
  readonly greeting: string;
  readonly starters: readonly string[];
  readonly placeholder: string;
  readonly logo: string | undefined;
  readonly imageOrigins: readonly string[];
}

/** What the panel tells the element around it. */
export interface Outside {
  /** Whether the page lets a text be sent. */
  allows(content: string): boolean;
  told(message: Partial<ChatMessage>): void;
  failed(error: unknown): void;
  /** Of a panel that can be closed. */
  readonly close: (() => void) | undefined;
}

/** Keeps a key that has done its work here, or is being written, from the page's own shortcuts. */
function keep(event: KeyboardEvent): void {
  const { target, defaultPrevented, ctrlKey, metaKey, altKey } = event;
  const written = (target as Element).matches("textarea,input") && !(ctrlKey || metaKey || altKey);
  if (written || defaultPrevented) event.stopPropagation();
}

/** The chat itself: one conversation shown, and how to get to others. */
export class Panel {
  readonly element: HTMLElement;
  readonly #client: ParleyClient;
  readonly #site: Site;
  readonly #outside: Outside;
  readonly #memory: Memory;
  readonly #announcer = new Announcer();
  readonly #news = new AnswerNews();
  readonly #bar: ConnectionBar;
  readonly #notice: Notice;
  readonly #stage: HTMLElement;
  readonly #behind: readonly HTMLElement[];
  #sheet: Sheet | undefined;
  readonly #composer: Composer;
  readonly #empty: HTMLElement;
  readonly #place = h("div", { class: "place" });
  readonly #deaf: (() => void)[] = [];
  #list: ConversationList | undefined;
  #transcript!: Transcript;
  #conversation!: Conversation;
  #leave: (() => void) | undefined;
  #editing: string | undefined;
  #newest: string | undefined;
  #awaited = false;
  #frame = 0;
  readonly #over = new AbortController();

  constructor(
    client: ParleyClient,
    site: Site,
    memory: Memory,
    outside: Outside,
    conversation: string | undefined,
  ) {
    const { t } = site.language;
    this.#client = client;
    this.#site = site;
    this.#memory = memory;
    this.#outside = outside;
    const focus = (): void => this.focus();
    this.#bar = new ConnectionBar(client, t, this.#announcer, focus);
    this.#notice = new Notice(t, focus);
    this.#composer = new Composer(t, site.placeholder, {
      send: (text) => this.#submit(text),
      stop: () => this.stop(),
      changed: (text) => this.#editing ?? this.#memory.set(this.#draft, text),
      cancelled: () => this.#edited(),
    });
    this.#empty = welcome(site, (text) => {
      if (!outside.allows(text)) return;
      this.send(text);
      // What was pressed goes away. Where a finger pressed it no keyboard shall come up.
      (byFinger() ? this.#transcript : this).focus();
    });
    const top = header(site, {
      list: (opener) => this.#openList(opener),
      renew: () => this.#renew(true),
      close: outside.close,
    });
    this.#behind = [top, this.#place, this.#composer.element];
    const footer = h("div", { part: "footer" }, h("slot", { name: "footer" }));
    this.#stage = h("div", { class: "stage" }, ...this.#behind, footer);
    this.element = h(
      "div",
      {
        part: "panel",
        lang: site.language.locale,
        dir: site.language.direction,
        on: { keydown: (event) => this.#key(event), keypress: keep, keyup: keep },
      },
      // Above all else, so that no sheet lies over what they tell.
      ...[this.#bar.element, this.#notice.element, this.#stage, this.#announcer.element],
    );
    this.#deaf.push(
      client.on("notice", ({ text }) => this.#tellNotice(text)),
      client.on("error", (error) => this.#failed(error)),
      client.on("conversations", ({ conversation: { id }, change }) => {
        if (change !== "deleted" || id !== this.#conversation.id) return;
        this.#renew();
        this.#tellNotice(t("deleted"));
      }),
      client.on("state", () => {
        this.#connected();
        this.#known();
      }),
    );
    this.#connected();
    this.show(conversation);
    for (const one of client.unsent()) if (one !== this.#conversation) leave(one);
    this.#known();
    if (!here("answers")) void this.#format();
  }

  get conversation(): Conversation {
    return this.#conversation;
  }

  /** Shows a conversation, or without an id a new one. */
  show(id?: string): void {
    this.#left();
    const conversation = this.#client.conversation(id);
    stay(conversation);
    this.#conversation = conversation;
    this.#newest = undefined;
    this.#awaited = false;
    this.#transcript = new Transcript(this.#roomOf(conversation), this.#empty);
    this.#place.replaceChildren(this.#transcript.element);
    this.#leave = conversation.on("change", () => this.#soon());
    this.#composer.text = this.#memory.get(this.#draft) ?? "";
    this.#render();
  }

  /** Sends a message of its own; what is being written stays. */
  send(text: string): void {
    this.#sent(text, this.#conversation.send(text));
  }

  /** Sends what was written: an edit, or else a message. Whether the field is to be empty now. */
  #submit(text: string): boolean {
    if (!this.#outside.allows(text)) return false;
    const edited = this.#editing;
    if (edited === undefined) {
      this.send(text);
      this.#memory.set(this.#draft, undefined);
      return true;
    }
    this.#sent(text, this.#conversation.edit(edited, text));
    this.#edited();
    // An edited message left the field for the draft that was there before; that one stays.
    return false;
  }

  #sent(text: string, { accepted }: Answer): void {
    this.#transcript.follow();
    accepted.then(
      ({ message }) => this.#outside.told({ id: message, role: "user", content: text }),
      // Its row shows that it failed, and why.
      (error) => this.#refused(error, this.#site.language.t("failed")),
    );
  }

  stop(): void {
    const unsent = this.#conversation.messages.filter(({ delivery }) => delivery === "unsent");
    for (const message of unsent) this.#restore(message);
    this.#run(this.#conversation.stop());
  }

  focus(): void {
    this.#composer.focus();
  }

  /** Whether there was something over the talk to go back from. */
  back(): boolean {
    return this.#sheet?.close() ?? false;
  }

  dispose(): void {
    this.#over.abort();
    this.#left();
    this.#list?.dispose();
    this.#bar.dispose();
    for (const end of this.#deaf) end();
  }

  /** Answers are plain text until this is there; who has read plain text for a while is told why. */
  async #format(): Promise<void> {
    const plain = this.#site.language.t("plain");
    let told = false;
    const failed = (times: number): void => {
      if (times !== 2) return;
      told = true;
      this.#tellNotice(plain);
    };
    if (!(await bring("answers", this.#over.signal, failed))) return;
    this.#transcript.format();
    if (told) this.#notice.show("");
  }

  /** What the tab remembers of somebody else is nothing for whoever is here now. */
  #known(): void {
    const { user } = this.#client.welcome ?? {};
    if (user !== undefined && !this.#memory.belongs(user)) this.show();
  }

  get #draft(): string {
    return `draft ${this.#conversation.id ?? ""}`;
  }

  #left(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.#leave) return;
    this.#leave();
    this.#transcript.dispose();
    this.#edited();
    leave(this.#conversation);
  }

  #roomOf(conversation: Conversation): Room {
    const { language, name, imageOrigins } = this.#site;
    return {
      language,
      name,
      imageOrigins,
      conversation,
      run: (asked, then, refused) => this.#run(asked, then, refused),
      edit: ({ id, content }) => this.#edit(id, content),
      takeBack: (message) => {
        conversation.discard(message.id);
        this.#restore(message);
        this.#composer.focus();
      },
      openSource: (source, label) => {
        const answers = here("answers");
        if (!answers) return;
        const shown = answers.passage(source, (path) => this.#client.fetch(path), language);
        this.#cover(answers).open(label, shown, focusedBeside(this.element));
      },
      say: (text) => this.#announcer.say(text),
    };
  }

  /** However many frames came, the screen changes once before it is painted. */
  #soon(): void {
    const { status } = this.#conversation;
    this.#awaited ||= status === "submitted" || status === "streaming";
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render(): void {
    const { id, messages, error, level } = this.#conversation;
    if (error) {
      // What cannot be followed is not shown: it was deleted, or is somebody else's.
      this.#renew();
      this.#failed(error);
      return;
    }
    if (id && id !== this.#memory.get("shown")) {
      this.#memory.set("shown", id);
      // What was begun before the conversation had a name goes with it.
      this.#memory.set("draft ", undefined);
      if (this.#editing === undefined) this.#memory.set(this.#draft, this.#composer.text);
    }
    show(this.#empty, messages.length === 0 && (id === undefined || level));
    this.#transcript.render();
    this.#composer.busy = this.#busy;
    this.#tell(messages, level);
  }

  #tell(messages: readonly ChatMessage[], level: boolean): void {
    const { t } = this.#site.language;
    const newest = messages.at(-1)?.id ?? "";
    // A short answer begins and ends between two frames. One that nobody waited for is another version.
    const fresh = this.#awaited && this.#newest !== undefined && newest !== this.#newest;
    if (level) this.#newest = newest;
    this.#awaited = false;
    for (const message of messages) {
      const news = this.#news.of(message, fresh && message.id === newest);
      if (!news) continue;
      const text = {
        begins: () => t("begins", { name: this.#site.name }),
        asks: () => t("parked"),
        finished: () => this.#transcript.row(message.id)?.plainText ?? "",
        stopped: () => t("stopped"),
        failed: () => t(message.outcome === "interrupted" ? "interrupted" : "broken"),
      }[news]();
      this.#announcer.say(text);
      if (news !== "begins" && news !== "asks") this.#outside.told(message);
    }
  }

  #run(asked: Promise<unknown>, then?: () => void, refused?: () => void): void {
    asked.then(then, (error) => {
      this.#failed(error);
      refused?.();
    });
  }

  #failed(error: unknown): void {
    const { t } = this.#site.language;
    const text = (error instanceof ParleyError && explain(error.code, t)) || t("error");
    if (this.#refused(error, text)) this.#notice.show(text);
  }

  #tellNotice(text: string): void {
    this.#notice.show(text);
    this.#announcer.say(text);
  }

  /** What is shown of work that goes on is shown only as far as it is known to go on. */
  #connected(): void {
    const { state } = this.#client.connection;
    this.element.classList.toggle("cut", state === "waiting" || state === "closed");
  }

  /** Tells of a refusal; what its own author took back was none. */
  #refused(error: unknown, text: string): boolean {
    if (error instanceof ParleyError && error.code === "withdrawn") return false;
    this.#announcer.say(text, true);
    this.#outside.failed(error);
    return true;
  }

  #edit(id: string, content: string): void {
    this.#editing = id;
    this.#composer.editing = true;
    this.#composer.text = content;
    this.#composer.focus();
  }

  #edited(): void {
    if (this.#editing === undefined) return;
    const focused = focusedBeside(this.element);
    this.#editing = undefined;
    this.#composer.editing = false;
    this.#composer.text = this.#memory.get(this.#draft) ?? "";
    if (focused) this.#composer.focus();
  }

  /** Focus goes to the new conversation where somebody asked for it, or has it here. */
  #renew(asked = focusedBeside(this.element) !== null): void {
    this.#memory.set("shown", undefined);
    this.show();
    if (asked) this.focus();
  }

  #openList(opener: Element): void {
    const { language } = this.#site;
    const parts = () => Promise.all([part("list"), part("answers")]);
    parts()
      .catch(parts)
      .then(
        ([{ ConversationList }, answers]) => {
          if (this.#over.signal.aborted || this.#sheet?.isOpen) return;
          this.#list?.dispose();
          this.#list = new ConversationList({
            client: this.#client,
            language,
            run: (asked, then, refused) => this.#run(asked, then, refused),
            choose: (id) => {
              this.#sheet?.close();
              this.show(id);
              this.focus();
            },
            shown: () => this.#conversation.id,
          });
          this.#cover(answers).open(language.t("conversations"), this.#list.element, opener, true);
        },
        () => this.#tellNotice(language.t("unloaded")),
      );
  }

  #cover({ Sheet }: Part<"answers">): Sheet {
    if (!this.#sheet) {
      const close = this.#site.language.t("close");
      this.#sheet = new Sheet(
        close,
        () => this.#behind,
        () => this.focus(),
      );
      this.#stage.append(this.#sheet.element);
    }
    return this.#sheet;
  }

  /** Whether there is something to stop: what has not left yet only waits. */
  get #busy(): boolean {
    const { messages, status } = this.#conversation;
    if (messages.some(({ state }) => state)) return true;
    return status === "submitted" && !messages.some(({ delivery }) => delivery === "unsent");
  }

  /** Puts what was taken back where it was written: an edit stays one. */
  #restore({ content, replaces }: ChatMessage): void {
    if (replaces) {
      this.#edit(replaces, content);
      return;
    }
    this.#edited();
    this.#composer.text = [this.#composer.text, content].filter(Boolean).join("\n\n");
    this.#memory.set(this.#draft, this.#composer.text);
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "F6" && !this.#sheet?.isOpen) {
      event.preventDefault();
      if (this.#place.contains(focusedBeside(this.element))) this.focus();
      else this.#transcript.focus();
    } else if (event.key === "Escape" && !composes(event) && this.#escape()) event.preventDefault();
    keep(event);
  }

  /** What is uppermost goes first: a sheet, an edit, the answer that runs, the panel. */
  #escape(): boolean {
    if (this.#sheet?.close()) return true;
    if (this.#editing !== undefined) this.#edited();
    else if (this.#busy) this.stop();
    else if (this.#outside.close) this.#outside.close();
    else return false;
    return true;
  }
}
