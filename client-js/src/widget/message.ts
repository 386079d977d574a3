import type { ChatMessage } from "../index.ts";
import { colour } from "../markdown/colours.ts";
import { MarkdownView } from "../markdown/index.ts";
import { toolCall } from "./approvals.ts";
import { type Mark, mark, numbered, sourceList } from "./citations.ts";
import { copyButton } from "./copy.ts";
import { type Child, focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { explain } from "./explain.ts";
import { iconButton } from "./icons.ts";
import { composes } from "./keys.ts";
import type { Room } from "./room.ts";
import type { Text as Phrase } from "./strings.ts";

/** The parts of a message, in their order. Of most messages most are empty, so each is made when it is first filled. */
const REGIONS = ["thought", "tools", "text", "note", "sources", "actions", "comment"] as const;

type Region = (typeof REGIONS)[number];

/** What a region was filled from, as it was given and in words. */
interface Filling {
  readonly from: readonly unknown[];
  readonly key: string;
}

/** One message on the screen. Each region is built anew only when what it shows has changed. */
export class Row {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #regions = new Map<Region, HTMLElement>();
  readonly #filled = new Map<Region, Filling>();
  readonly #text: HTMLElement;
  readonly #thought = new Text();
  #view: MarkdownView | undefined;
  #marks: readonly Mark[] = [];
  #message!: ChatMessage;
  #near = false;

  constructor(message: ChatMessage, room: Room) {
    const { t } = room.language;
    const mine = message.role === "user";
    this.#room = room;
    this.element = h("article", {
      part: `message ${mine ? "user" : "assistant"}`,
      tabindex: "-1",
      "aria-label": mine ? t("youSaid") : t("said", { name: room.name }),
    });
    this.#text = this.#region("text");
    // The blocks of an answer have each their own: to find that of the whole costs a walk through it per change.
    if (mine) this.#text.dir = "auto";
    else this.#view = this.#newView();
    this.update(message);
  }

  /** What a screen reader is told of it. */
  get plainText(): string {
    const numbers = this.#text.querySelectorAll<HTMLElement>(".citation");
    for (const one of numbers) one.hidden = true;
    const text = this.#text.innerText.trim();
    for (const one of numbers) one.hidden = false;
    return text;
  }

  /** It is seen, or nearly: until then it has neither its colours nor what can be done with it, but room for that. */
  near(): void {
    if (this.#near) return;
    this.#near = true;
    this.#offer(this.#message);
    for (const code of this.#text.querySelectorAll("[data-language] code")) colour(code);
  }

  update(message: ChatMessage): void {
    const before = this.#message;
    if (message === before) return;
    this.#message = message;
    if (message.content !== before?.content || message.state !== before.state) this.#write(message);
    show(this.#text, message.content !== "");
    if (message.state !== before?.state)
      this.element.classList.toggle("live", message.state === "generating");
    const { thought = "", tools, citations, sources, delivery, state, outcome } = message;
    this.#fill("thought", [thought !== ""], () => (thought ? this.#thinking() : []));
    if (thought !== this.#thought.data) this.#thought.data = thought;
    this.#fill("tools", [tools], () => {
      // What is open stays so when its call goes on.
      const open = [...(this.#regions.get("tools")?.children ?? [])].map(
        (one) => "open" in one && one.open === true,
      );
      return tools?.map((call, place) => toolCall(call, this.#room, open[place])) ?? [];
    });
    this.#fill(
      "note",
      [delivery, state, message.content === "", asks(message), outcome, message.finish_reason],
      () => this.#noted(message),
    );
    this.#fill("sources", [citations, sources], () => this.#cite(message));
    this.#offer(message);
  }

  #offer(message: ChatMessage): void {
    const { siblings, feedback, delivery, state } = message;
    const offered = this.#near || siblings.length > 1;
    this.#fill(
      "actions",
      [siblings, feedback?.rating, delivery, state === undefined, offered],
      () => (offered ? this.#actions(message) : []),
    );
    if (!offered && !state && !delivery) show(this.#region("actions"), true);
  }

  #thinking(): readonly Child[] {
    const { t } = this.#room.language;
    const text = h("div", { class: "thought", dir: "auto" });
    text.append(this.#thought);
    return [h("details", { part: "thought" }, h("summary", {}, t("thought")), text)];
  }

  #region(name: Region): HTMLElement {
    let region = this.#regions.get(name);
    if (!region) {
      region = h("div", /^(?:text|note|actions)$/.test(name) ? { part: name } : {});
      this.#regions.set(name, region);
      const behind = REGIONS.slice(REGIONS.indexOf(name) + 1);
      const next = behind.map((one) => this.#regions.get(one)).find(Boolean);
      this.element.insertBefore(region, next ?? null);
    }
    return region;
  }

  #fill(name: Region, from: readonly unknown[], build: () => readonly Child[]): void {
    const filled = this.#filled.get(name);
    // Words are compared only of what came as another object: it may say the same.
    if (filled?.from.every((one, place) => one === from[place])) return;
    const key = JSON.stringify(from);
    this.#filled.set(name, { from, key });
    if (filled?.key === key) return;
    const children = build().filter((child) => child !== false && child !== undefined);
    if (children.length === 0 && !this.#regions.has(name)) return;
    const region = this.#region(name);
    region.replaceChildren(...children);
    show(region, region.hasChildNodes());
  }

  #newView(): MarkdownView {
    const { imageOrigins, language } = this.#room;
    this.#marks = [];
    return new MarkdownView(this.#text, {
      imageOrigins,
      imageLabel: (host) => language.t("image", { host }),
      code: (pre, name, text) => {
        pre.setAttribute("data-language", name);
        pre.firstElementChild?.setAttribute("tabindex", "0");
        pre.append(copyButton(text, this.#room));
      },
      colour: (code) => {
        if (this.#near) colour(code);
      },
    });
  }

  #write({ content, state }: ChatMessage): void {
    if (!this.#view) this.#text.textContent = content;
    else if (state) this.#view.update(content);
    else this.#view.finish(content);
  }

  #cite(message: ChatMessage): readonly Child[] {
    const { list, marks } = numbered(message);
    // An attempt that was given up takes its marks along, however many the next one has.
    if (this.#marks.some(({ at, n }, place) => at !== marks[place]?.at || n !== marks[place].n)) {
      this.#text.replaceChildren();
      this.#view = this.#newView();
      this.#write(message);
    }
    for (const one of marks.slice(this.#marks.length))
      this.#view?.mark(one.at, one.at, () => mark(one, this.#room));
    this.#marks = marks;
    return list.length ? [sourceList(list, this.#room)] : [];
  }

  #noted(message: ChatMessage): readonly Child[] {
    const { t } = this.#room.language;
    const { delivery, state, outcome, finish_reason: reason } = message;
    if (delivery === "failed") return this.#failed(message);
    if (delivery)
      return [h("span", { class: "faint late" }, t(delivery === "sent" ? "sending" : "unsent"))];
    if (state)
      // Text that grows is its own sign of work.
      return (state === "generating" && message.content) || asks(message)
        ? []
        : [h("span", { class: "dots" }, t(state))];
    const said = [
      outcome === "failed" ? "broken" : outcome !== "complete" && outcome,
      (reason === "length" || reason === "content_filter") && "cut",
      message.degraded?.some((one) => one !== "cached") && "degraded",
    ] as const;
    const text = said.flatMap((phrase) => (phrase ? t(phrase) : [])).join(" ");
    const why = message.failure && ` ${explain(message.failure.code, t)}`;
    if (!text) return [];
    return [
      h("span", { class: outcome === "failed" ? "bad" : "faint" }, text, why),
      broken(message) && this.#button("again", () => this.#again(message)),
    ];
  }

  #failed(message: ChatMessage): readonly Child[] {
    const { conversation, language } = this.#room;
    const { t } = language;
    return [
      h("span", { class: "bad" }, `${t("failed")}. ${explain(message.error?.code, t)}`),
      this.#button("retry", () => this.#room.run(conversation.retry(message.id).accepted)),
      this.#button("edit", () => this.#room.takeBack(message)),
      this.#button("discard", () => conversation.discard(message.id)),
    ];
  }

  #button(text: Phrase, press: () => void): Child {
    const { t } = this.#room.language;
    return h(
      "button",
      { type: "button", class: "link", "data-do": text, on: { click: press } },
      t(text),
    );
  }

  #again({ id }: ChatMessage): void {
    this.#room.run(this.#room.conversation.regenerate(id).accepted);
  }

  #actions(message: ChatMessage): readonly Child[] {
    if (message.state) return [];
    const { conversation, language } = this.#room;
    const { t } = language;
    if (message.delivery) {
      // While it waits it can be taken back; what is on its way cannot.
      return [
        message.delivery === "unsent" &&
          iconButton(drawings.close, t("discard"), () => conversation.discard(message.id)),
      ];
    }
    if (message.role === "user")
      return [
        ...this.#siblings(message),
        iconButton(drawings.edit, t("edit"), () => this.#room.edit(message)),
      ];
    return [
      ...this.#siblings(message),
      message.content !== "" && copyButton(message.content, this.#room),
      !broken(message) && iconButton(drawings.again, t("again"), () => this.#again(message)),
      ...(message.content === "" ? [] : [this.#rate("up", message), this.#rate("down", message)]),
    ];
  }

  #siblings({ id, siblings }: ChatMessage): readonly Child[] {
    const { conversation, language, run } = this.#room;
    const { t, locale } = language;
    const at = siblings.indexOf(id);
    if (siblings.length < 2 || at < 0) return [];
    const go = (step: -1 | 1): Child => {
      const there = siblings[at + step];
      return iconButton(
        step < 0 ? drawings.back : drawings.next,
        t(step < 0 ? "previous" : "next"),
        () => there !== undefined && run(conversation.select(there)),
        // A disabled button would drop the focus of whoever just came to the end with it.
        { "aria-disabled": there === undefined && "true" },
      );
    };
    const place = `${(at + 1).toLocaleString(locale)} / ${siblings.length.toLocaleString(locale)}`;
    return [go(-1), h("span", { class: "version", dir: "ltr" }, place), go(1)];
  }

  #rate(rating: "up" | "down", { id, feedback }: ChatMessage): HTMLElement {
    const { conversation, language, run } = this.#room;
    const given = feedback?.rating === rating;
    return iconButton(
      rating === "up" ? drawings.up : drawings.down,
      language.t(rating === "up" ? "good" : "bad"),
      () => {
        run(conversation.feedback(id, rating));
        this.#askWhy(rating, id);
      },
      { "aria-pressed": `${given}` },
    );
  }

  /** The rating counts already; a word about it is welcome and never required. */
  #askWhy(rating: "up" | "down", id: string): void {
    const { conversation, language, run } = this.#room;
    const { t } = language;
    const field = h("input", {
      type: "text",
      "aria-label": t("comment"),
      placeholder: t("comment"),
      maxlength: "2000",
      dir: "auto",
    });
    const comment = this.#region("comment");
    const away = (): void => {
      const focused = form.contains(focusedBeside(form));
      form.remove();
      if (focused) this.element.focus();
    };
    const form = h(
      "form",
      {
        part: "comment",
        on: {
          submit: (event) => {
            event.preventDefault();
            const comment = field.value.trim();
            if (comment) run(conversation.feedback(id, rating, comment), away);
            else away();
          },
          keydown: (event) => {
            if (event.key !== "Escape" || composes(event)) return;
            event.stopPropagation();
            event.preventDefault();
            away();
          },
        },
      },
      field,
      h("button", { class: "plain" }, t("send")),
    );
    comment.replaceChildren(form);
    field.focus();
  }
}

/** Whether it asks for a decision: a question is its own sign that it waits, from the moment on that it is there. */
function asks({ tools }: ChatMessage): boolean {
  return !!tools?.some(({ state }) => state === "awaiting_approval");
}

/** Whether an answer came to nothing that can be relied on: then asking anew is offered in words. */
function broken({ outcome }: ChatMessage): boolean {
  return outcome === "failed" || outcome === "interrupted";
}
