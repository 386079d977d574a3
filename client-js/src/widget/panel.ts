import type { Conversation, ParleyClient } from "../index.ts";
import { ConnectionBar } from "./connection.ts";
import { byFinger, focusedBeside, h, show } from "./dom.ts";
import { header, welcome } from "./front.ts";
import { composes } from "./keys.ts";
import { end, leave, stay } from "./leaving.ts";
import type { ConversationList } from "./list.ts";
import type { Memory } from "./memory.ts";
import { Pace } from "./pace.ts";
import { bring, here, type Part, part } from "./parts.ts";
import type { Room } from "./room.ts";
import type { Sheet } from "./sheet.ts";
import type { Site } from "./site.ts";
import { type Outside, Telling } from "./telling.ts";
import { Transcript } from "./transcript.ts";
import { Writing } from "./writing.ts";

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
  readonly #telling: Telling;
  readonly #bar: ConnectionBar;
  readonly #stage: HTMLElement;
  readonly #behind: readonly HTMLElement[];
  #sheet: Sheet | undefined;
  readonly #writing: Writing;
  readonly #empty: HTMLElement;
  readonly #place = h("div", { class: "place" });
  readonly #deaf: (() => void)[] = [];
  #list: ConversationList | undefined;
  #transcript!: Transcript;
  #conversation!: Conversation;
  #leave: (() => void) | undefined;
  readonly #pace = new Pace(() => this.#render());
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
    this.#telling = new Telling(site, outside, focus);
    this.#bar = new ConnectionBar(client, t, this.#telling.announcer, focus);
    this.#writing = new Writing(site, memory, {
      send: (text, replaced) => this.#send(text, replaced),
      stop: () => this.stop(),
    });
    this.#empty = welcome(site, (text) => {
      if (!this.#send(text)) return;
      // What was pressed goes away. Where a finger pressed it no keyboard shall come up.
      (byFinger() ? this.#transcript : this).focus();
    });
    const top = header(site, {
      list: (opener) => this.#openList(opener),
      renew: () => this.#renew(true),
      close: outside.close,
    });
    const footer = h("div", { part: "footer" }, h("slot", { name: "footer" }));
    this.#behind = [top, this.#place, this.#writing.composer.element, footer];
    this.#stage = h("div", { class: "stage" }, ...this.#behind);
    this.element = h(
      "div",
      {
        part: "panel",
        lang: site.language.locale,
        dir: site.language.direction,
        on: {
          click: () => this.#pace.hurry(),
          keydown: (event) => this.#key(event),
          keypress: keep,
          keyup: keep,
        },
      },
      // Above all else, so that no sheet lies over what they tell.
      this.#bar.element,
      this.#telling.notice.element,
      this.#stage,
      this.#telling.announcer.element,
    );
    this.#deaf.push(
      client.on("notice", ({ text }) => this.#telling.word(text)),
      client.on("error", (error) => this.#telling.failed(error)),
      client.on("conversations", ({ conversation: { id }, change }) => {
        if (change !== "deleted" || id !== this.#conversation.id) return;
        this.#renew();
        this.#telling.word(t("deleted"));
      }),
      client.on("state", () => {
        this.#connected();
        this.#known();
      }),
    );
    this.#connected();
    this.show(conversation);
    for (const one of client.unsent()) end(one);
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
    this.#telling.begin();
    this.#writing.begin(conversation);
    this.#transcript = new Transcript(this.#roomOf(conversation), this.#empty);
    this.#place.replaceChildren(this.#transcript.element);
    this.#leave = conversation.on("change", () => {
      this.#telling.changed(conversation);
      this.#pace.soon();
    });
    this.#render();
  }

  /** It was moved to another place in the page. */
  restore(): void {
    this.#transcript.restore();
  }

  /** Sends a message of its own; what is being written stays. */
  send(text: string, replaced?: string): void {
    this.#pace.hurry();
    const { accepted } =
      replaced === undefined
        ? this.#conversation.send(text)
        : this.#conversation.edit(replaced, text);
    this.#transcript.follow();
    accepted.then(
      ({ message }) => this.#outside.told({ id: message, role: "user", content: text }),
      // Its row shows that it failed, and why.
      (error) => this.#telling.refused(error, this.#site.language.t("failed")),
    );
  }

  /** Sends what was asked for here, unless the page prevents it. */
  #send(text: string, replaced?: string): boolean {
    const allowed = this.#outside.allows(text);
    if (allowed) this.send(text, replaced);
    return allowed;
  }

  stop(): void {
    this.#pace.hurry();
    const unsent = this.#conversation.messages.filter(({ delivery }) => delivery === "unsent");
    for (const message of unsent) this.#writing.restore(message);
    this.#telling.run(this.#conversation.stop());
  }

  focus(): void {
    this.#writing.composer.focus();
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
    for (const deafen of this.#deaf) deafen();
  }

  /** Answers are plain text until this is there; who has read plain text for a while is told why. */
  async #format(): Promise<void> {
    const plain = this.#site.language.t("plain");
    let told = false;
    const failed = (times: number): void => {
      if (times !== 2) return;
      told = true;
      this.#telling.word(plain);
    };
    if (!(await bring("answers", this.#over.signal, failed))) return;
    this.#transcript.format();
    if (told) this.#telling.notice.show("");
  }

  /** What the tab remembers of somebody else is nothing for whoever is here now. */
  #known(): void {
    const { user } = this.#client.welcome ?? {};
    if (user !== undefined && !this.#memory.belongs(user)) this.show();
  }

  #left(): void {
    this.#pace.stop();
    if (!this.#leave) return;
    this.#leave();
    this.#transcript.dispose();
    leave(this.#conversation);
  }

  #roomOf(conversation: Conversation): Room {
    const { language, name, imageOrigins } = this.#site;
    return {
      language,
      name,
      imageOrigins,
      conversation,
      run: this.#telling.run,
      edit: ({ id, content }) => this.#writing.edit(id, content),
      takeBack: (message) => {
        conversation.discard(message.id);
        this.#writing.restore(message);
        this.focus();
      },
      openSource: (source, label) => {
        const answers = here("answers");
        if (!answers) return;
        const shown = answers.passage(source, (path) => this.#client.fetch(path), language);
        this.#cover(answers).open(label, shown, focusedBeside(this.element));
      },
      say: (text) => this.#telling.announcer.say(text),
    };
  }

  #render(): void {
    const conversation = this.#conversation;
    const { id, messages, error, level } = conversation;
    if (error) {
      // What cannot be followed is not shown: it was deleted, or is somebody else's.
      this.#renew();
      this.#telling.failed(error);
      return;
    }
    if (id && id !== this.#memory.get("shown")) {
      this.#memory.set("shown", id);
      this.#writing.named();
    }
    show(this.#empty, messages.length === 0 && (id === undefined || level));
    this.#transcript.render();
    this.#writing.composer.busy = this.#busy;
    this.#telling.answers(conversation, (shown) => this.#transcript.row(shown)?.plainText);
  }

  /** What is shown of work that goes on is shown only as far as it is known to go on. */
  #connected(): void {
    const { state } = this.#client.connection;
    this.element.classList.toggle("cut", state === "waiting" || state === "closed");
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
            run: this.#telling.run,
            choose: (id) => {
              this.#sheet?.close();
              this.show(id);
              this.focus();
            },
            shown: () => this.#conversation.id,
          });
          this.#cover(answers).open(language.t("conversations"), this.#list.element, opener, true);
        },
        () => this.#telling.word(language.t("unloaded")),
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
    if (this.#sheet?.close() || this.#writing.cancel()) return true;
    if (this.#busy) this.stop();
    else if (this.#outside.close) this.#outside.close();
    else return false;
    return true;
  }
}
