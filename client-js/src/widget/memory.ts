interface Kept {
  /** Whose it is, once that is known. */
  readonly user?: string;
  readonly texts: Readonly<Record<string, string>>;
}

/**
 * What the tab remembers of one site's chat: the conversation shown, drafts. They are one person's; the next one in the
 * same tab finds nothing. Storage may throw; then nothing outlives the page.
 */
export class Memory {
  readonly #key: string;
  #kept: Kept = { texts: {} };

  constructor(url: string, site = "") {
    this.#key = `parley-chat ${url} ${site}`;
    try {
      const { user, texts } = JSON.parse(sessionStorage.getItem(this.#key) ?? "") as Kept;
      if (typeof texts === "object") this.#kept = { ...(user && { user }), texts };
    } catch {} // nothing there, or nothing of ours
  }

  get(name: string): string | undefined {
    return this.#kept.texts[name];
  }

  set(name: string, value = ""): void {
    if (value === (this.#kept.texts[name] ?? "")) return;
    const { [name]: _, ...texts } = this.#kept.texts;
    this.#keep({ ...this.#kept, texts: value ? { ...texts, [name]: value } : texts });
  }

  /** Says who is here; false if that is somebody else than whose it was, which is forgotten then. */
  belongs(user: string): boolean {
    const theirs = (this.#kept.user ?? user) !== user;
    if (this.#kept.user !== user) this.#keep({ user, texts: theirs ? {} : this.#kept.texts });
    return !theirs;
  }

  #keep(kept: Kept): void {
    this.#kept = kept;
    try {
      sessionStorage.setItem(this.#key, JSON.stringify(kept));
    } catch {} // full or forbidden: the text is still in its field
  }
}
