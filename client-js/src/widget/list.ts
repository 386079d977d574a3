import type { Conversation as ConversationObject } from "../frames.ts";
import type { ConversationsChangedFrame, ParleyClient } from "../index.ts";
import { focusedBeside, h, show } from "./dom.ts";
import * as drawings from "./drawings.ts";
import { iconButton } from "./icons.ts";
import { composes } from "./keys.ts";
import type { Language, Text } from "./strings.ts";

export { listStyles as styles } from "./styles.list.ts";

const LIMIT = 30;
const TYPING_MS = 250;
const KEPT_MS = 60_000;

interface Page {
  readonly items: readonly ConversationObject[];
  readonly next_cursor: string | null;
}

/** What the list needs of the panel around it. */
export interface ListRoom {
  readonly client: ParleyClient;
  readonly language: Language;
  run(asked: Promise<unknown>, then?: () => void, refused?: () => void): void;
  choose(id: string): void;
  /** The conversation that is shown, to be told from the others. */
  shown(): string | undefined;
}

/** A person's conversations: searched, renamed, archived, exported, deleted. Level with what other devices do. */
export class ConversationList {
  readonly element: HTMLElement;
  readonly #room: ListRoom;
  readonly #search: HTMLInputElement;
  readonly #archive: HTMLInputElement;
  readonly #rows = h("ul");
  readonly #none: HTMLElement;
  readonly #more: HTMLButtonElement;
  readonly #again: HTMLButtonElement;
  readonly #deaf: readonly (() => void)[];
  #items: readonly ConversationObject[] = [];
  #held = new Map<string, HTMLElement>(); // rows, by what they say
  #cursor: string | null = null;
  #asking = 0;
  #loading = false;
  #overtaken = false; // by news, while a page was on its way
  #typing: ReturnType<typeof setTimeout> | undefined;

  constructor(room: ListRoom) {
    const { t } = room.language;
    this.#room = room;
    this.#search = h("input", {
      type: "search",
      "aria-label": t("search"),
      placeholder: t("search"),
      dir: "auto",
      on: { input: () => this.#searchSoon() },
    });
    this.#archive = h("input", { type: "checkbox", on: { change: () => this.load() } });
    this.#none = h("p", { class: "faint", hidden: true }, t("none"));
    this.#more = h(
      "button",
      { type: "button", class: "plain", hidden: true, on: { click: () => this.load(true) } },
      t("more"),
    );
    this.#again = h(
      "button",
      { type: "button", class: "plain", hidden: true, on: { click: () => this.load() } },
      t("retry"),
    );
    this.element = h(
      "div",
      { part: "list" },
      this.#search,
      h("label", {}, this.#archive, t("archived")),
      ...[this.#rows, this.#none, this.#again, this.#more],
    );
    this.#deaf = [
      room.client.on("conversations", (frame) => this.#changed(frame)),
      // Of what happened meanwhile nobody told.
      room.client.on("state", ({ state }) => state === "open" && this.load()),
    ];
    this.load();
  }

  dispose(): void {
    clearTimeout(this.#typing);
    for (const end of this.#deaf) end();
  }

  load(more = false): void {
    const asking = ++this.#asking;
    this.#loading = true;
    this.#overtaken = false;
    const query = new URLSearchParams({
      limit: `${LIMIT}`,
      status: this.#status,
      sort: "updated_at",
      order: "desc",
    });
    if (this.#search.value.trim()) query.set("q", this.#search.value.trim());
    if (more && this.#cursor) query.set("cursor", this.#cursor);
    this.#room.run(
      this.#room.client.fetch(`conversations?${query}`).then((answer) => {
        if (asking !== this.#asking) return; // A later question overtook this one.
        if (this.#overtaken) return this.load();
        const { items, next_cursor } = answer as Page;
        const ids = new Set(items.map(({ id }) => id));
        const kept = more ? this.#items.filter(({ id }) => !ids.has(id)) : [];
        this.#items = [...kept, ...items];
        this.#cursor = next_cursor;
        this.#came();
      }),
      undefined,
      () => asking === this.#asking && this.#came(true),
    );
  }

  #came(failed = false): void {
    this.#loading = false;
    show(this.#again, failed);
    this.#draw();
  }

  get #status(): "archived" | "active" {
    return this.#archive.checked ? "archived" : "active";
  }

  #searchSoon(): void {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.load(), TYPING_MS);
  }

  #changed({ conversation, change }: ConversationsChangedFrame): void {
    const others = this.#items.filter(({ id }) => id !== conversation.id);
    const known = others.length < this.#items.length;
    const here =
      change !== "deleted" && (conversation.status === "archived") === this.#archive.checked;
    // Whether a new one matches a search only the server knows.
    if (here && (known || !this.#search.value)) this.#items = [conversation, ...others];
    else this.#items = others;
    this.#overtaken = this.#loading;
    this.#draw();
  }

  /** Rows stay that say what they said: somebody may be in the midst of one. */
  #draw(): void {
    const focused = focusedBeside(this.element) as HTMLElement | null;
    const place = [...this.#rows.children].findIndex((row) => row.contains(focused));
    const held = this.#held;
    this.#held = new Map();
    for (const [at, item] of this.#items.entries()) {
      const { title, last_message, status, id } = item;
      const said = [id, title ?? last_message, this.#when(item), status, id === this.#room.shown()];
      const key = JSON.stringify(said);
      const row = held.get(key) ?? this.#row(item);
      this.#held.set(key, row);
      const there = this.#rows.children[at] ?? null;
      if (there !== row) this.#rows.insertBefore(row, there);
    }
    while (this.#rows.children.length > this.#items.length) this.#rows.lastChild?.remove();
    show(this.#none, this.#items.length === 0 && !this.#loading && this.#again.hidden === true);
    show(this.#more, this.#cursor !== null);
    if (place < 0 || focusedBeside(this.element)) return;
    // Focus stays where it was, or with what stands there now.
    const row = this.#rows.children[Math.min(place, this.#items.length - 1)];
    const near = row?.querySelector<HTMLElement>("button,input") ?? this.#search;
    (focused?.isConnected ? focused : near).focus();
  }

  /** Shows a row again that was changed by hand, as by a form in it. */
  #restore(row: HTMLElement): void {
    for (const [key, one] of this.#held) if (one === row) this.#held.delete(key);
    this.#draw();
  }

  #when({ updated_at }: ConversationObject): string {
    const { locale } = this.#room.language;
    return new Date(updated_at).toLocaleDateString(locale, { dateStyle: "medium" });
  }

  #row(item: ConversationObject): HTMLElement {
    const { language, choose, shown } = this.#room;
    const { t } = language;
    const title = item.title ?? item.last_message ?? t("untitled");
    const actions = h("div", { class: "doings", hidden: true });
    const more = iconButton(
      drawings.more,
      t("actions", { title }),
      () => {
        show(actions, actions.hidden !== false);
        more.setAttribute("aria-expanded", `${!actions.hidden}`);
      },
      { "aria-expanded": "false" },
    );
    const row = h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "pick",
          "aria-current": item.id === shown() && "true",
          on: { click: () => choose(item.id) },
        },
        h("span", { dir: "auto" }, title),
        h("span", { class: "faint" }, this.#when(item)),
      ),
      more,
      actions,
    );
    actions.append(...this.#doings(item, row));
    return row;
  }

  #doings(item: ConversationObject, row: HTMLElement): readonly HTMLElement[] {
    const { t } = this.#room.language;
    const path = `conversations/${encodeURIComponent(item.id)}`;
    const archived = item.status === "archived";
    const patch = (body: unknown): void => this.#ask(path, "PATCH", body);
    const away = (): void => this.#restore(row);
    const rename = (title: string): void => this.#ask(path, "PATCH", { title }, away);
    let sure = false;
    const remove = this.#doing("delete", () => {
      if (sure) this.#ask(path, "DELETE");
      sure = true;
      remove.textContent = t("sure");
    });
    return [
      this.#doing("rename", () => row.replaceChildren(this.#rename(item, rename, away))),
      this.#doing(archived ? "restore" : "archive", () =>
        patch({ status: archived ? "active" : "archived" }),
      ),
      this.#doing("export", () => this.#room.run(this.#export(item, path))),
      remove,
    ];
  }

  #doing(text: Text, act: () => void): HTMLButtonElement {
    return h(
      "button",
      { type: "button", class: "link", on: { click: () => act() } },
      this.#room.language.t(text),
    );
  }

  #ask(path: string, method: string, body?: unknown, then?: () => void): void {
    this.#room.run(this.#room.client.fetch(path, { method, body }), () => {
      then?.();
      this.load();
    });
  }

  #rename(
    item: ConversationObject,
    rename: (title: string) => void,
    away: () => void,
  ): HTMLElement {
    const { t } = this.#room.language;
    const field = h("input", {
      type: "text",
      "aria-label": t("rename"),
      value: item.title ?? "",
      placeholder: item.last_message ?? "",
      maxlength: "200",
      dir: "auto",
    });
    const form = h(
      "form",
      {
        on: {
          submit: (event) => {
            event.preventDefault();
            if (field.value.trim()) rename(field.value.trim());
          },
          keydown: (event) => {
            if (event.key !== "Escape" || composes(event)) return;
            event.preventDefault();
            event.stopPropagation();
            away();
          },
        },
      },
      field,
      h("button", { class: "plain" }, t("save")),
    );
    queueMicrotask(() => {
      field.focus(); // which `select` does not bring everywhere
      field.select();
    });
    return form;
  }

  async #export({ title, id }: ConversationObject, path: string): Promise<void> {
    const whole = await this.#room.client.fetch(`${path}/export`);
    const file = URL.createObjectURL(
      new Blob([JSON.stringify(whole, undefined, 2)], { type: "application/json" }),
    );
    h("a", { href: file, download: `${title ?? id}.json` }).click();
    // Some browsers begin to read it only after the click is over.
    setTimeout(() => URL.revokeObjectURL(file), KEPT_MS);
  }
}
