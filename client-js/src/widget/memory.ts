/** What the tab remembers of one server's chat: the conversation shown, drafts. Storage may throw; then nothing is kept. */
export class Memory {
  readonly #prefix: string;

  constructor(url: string) {
    this.#prefix = `parley-chat ${url} `;
  }

  get(name: string): string | undefined {
    try {
      return sessionStorage.getItem(this.#prefix + name) ?? undefined;
    } catch {
      return undefined;
    }
  }

  set(name: string, value: string | undefined): void {
    try {
      if (value) sessionStorage.setItem(this.#prefix + name, value);
      else sessionStorage.removeItem(this.#prefix + name);
    } catch {
      // Full or forbidden: the text is still in its field.
    }
  }
}
