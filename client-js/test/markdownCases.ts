/** Documents for the tests of Markdown: made from a grammar, or hostile, by a generator with a seed. */

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** So many cases in the long form of the tests, a quarter of them in the short one. */
export function cases(many: number): number {
  return process.env["PARLEY_TEST_LONG"] ? many : many / 4;
}

export class Author {
  readonly next: () => number;

  constructor(seed: number) {
    this.next = random(seed);
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  some(from: number, to: number, make: () => string, between = ""): string {
    return Array.from({ length: from + this.below(to - from + 1) }, make).join(between);
  }

  words(): string {
    const words = [
      "one",
      "two words",
      "größer",
      "مرحبا",
      "日本語",
      "a_b_c",
      "2 * 3",
      "x < y",
      "e&amp;f",
      "\\*not",
      "😀",
      "C#",
    ];
    return this.some(1, 4, () => this.pick(words), " ");
  }

  inline(depth = 0): string {
    const one = (): string => {
      if (depth > 2) return this.words();
      switch (this.below(14)) {
        case 0:
          return `**${this.inline(depth + 1)}**`;
        case 1:
          return `*${this.inline(depth + 1)}*`;
        case 2:
          return `~~${this.inline(depth + 1)}~~`;
        case 3:
          return `\`${this.words()}\``;
        case 4:
          return `[${this.inline(depth + 1)}](https://example.com/${this.below(99)} "a title")`;
        case 5:
          return `![${this.words()}](https://images.example/${this.below(99)}.png)`;
        case 6:
          return "see https://example.com/a_b?c=d.";
        case 7:
          return this.pick([
            "`` a`b ``",
            "<https://example.com>",
            "&copy; &#169;",
            "***",
            "__x",
            "`open",
            "[open",
            "[a](b",
          ]);
        case 8:
          return this.pick(["  \n", "\\\n", "\n"]) + this.words();
        default:
          return this.words();
      }
    };
    return this.some(1, 4, one, " ");
  }

  block(depth = 0): string {
    const line = (): string => this.inline().replaceAll("\n", " ");
    const indented = (text: string, by: string): string => text.replaceAll("\n", `\n${by}`);
    switch (this.below(depth > 2 ? 3 : 12)) {
      case 3:
        return `${"#".repeat(1 + this.below(6))} ${line()}`;
      case 4: {
        const item = (): string =>
          `- ${this.pick(["", "[x] ", "[ ] "])}${indented(this.blocks(depth + 1), "  ")}`;
        return this.some(1, 4, item, this.pick(["\n", "\n\n"]));
      }
      case 5: {
        let n = this.below(3);
        return this.some(
          1,
          4,
          () => `${++n}. ${indented(this.blocks(depth + 1), "   ")}`,
          this.pick(["\n", "\n\n"]),
        );
      }
      case 6:
        return `> ${indented(this.blocks(depth + 1), this.pick(["> ", "> ", "> ", ">", ""]))}`;
      case 7:
        return `\`\`\`${this.pick(["ts", "", "python"])}\n${this.some(0, 4, () => this.words(), this.pick(["\n", "\n\n", "\n  "]))}\n\`\`\``;
      case 8: {
        const row = (): string => `| ${line()} | ${this.words().replaceAll("|", "")} |`;
        return `| a | b |\n${this.pick(["|---|---|", "|:--|--:|", "| - | - |"])}\n${this.some(0, 4, row, "\n")}`;
      }
      case 9:
        return this.pick(["---", "***", "Title\n=====", "Title\n---", "    indented\n\n    code"]);
      case 10:
        return this.pick([
          "```\nopen",
          "~~~ js\nx\n~~~",
          "-",
          "1)",
          "> ",
          "#",
          "| a |\n| - |",
          "- a\n-\n- b",
          "* * *",
        ]);
      default:
        return this.inline();
    }
  }

  blocks(depth: number): string {
    return this.some(
      1,
      depth === 0 ? 6 : 2,
      () => this.block(depth),
      this.pick(["\n\n", "\n\n", "\n"]),
    );
  }

  document(): string {
    return this.blocks(0) + this.pick(["", "\n", "\n\n"]);
  }

  /** Pieces that have broken other renderers, and pieces of these, in no order. */
  hostile(): string {
    const scheme = (): string =>
      this.pick([
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "//evil.example/x",
        "\\\\evil.example",
        "&#106;avascript:alert(1)",
        "javascript&colon;alert(1)",
        "&#x6A&#x61;vascript:x",
        "\u0001javascript:x",
        " javascript:x",
        "blob:https://a/b",
        "file:///etc/passwd",
        "https://user:pass@evil.example",
        'https://ok.example/?q="onclick=alert(1)',
        "http://a\u202e.example",
        "mailto:a@b.c",
        "tel:+1",
        "ftp://x.example",
        "https:/\\evil",
        "%6aavascript:x",
        "/relative",
        "#hash",
        "java\nscript:x",
      ]);
    const piece = (): string => {
      switch (this.below(12)) {
        case 0:
          return `[${this.pick(["x", "![y](z)", "<b>", "**"])}](${this.pick(["", "<"])}${scheme()}${this.pick(["", ">"])})`;
        case 1:
          return `![${this.pick(["x", '" onerror=alert(1) x="', "]"])}](${scheme()})`;
        case 2:
          return `<${scheme()}>`;
        case 3:
          return this.pick([
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)>",
            "<a href=javascript:x>y</a>",
            "<!--",
            "-->",
            "<![CDATA[x]]>",
            "</textarea>",
            "<style>*{}</style>",
            "<iframe srcdoc='<b>'>",
          ]);
        case 4:
          return `\`\`\`${this.pick(['"><script>', "js onload=alert(1)", "&quot;x", "constructor"])}\n${this.words()}\n`;
        case 5:
          return this.pick([
            "**",
            "*",
            "_",
            "~~",
            "`",
            "```\n",
            "[",
            "]",
            "](",
            ")",
            "![",
            "|",
            "\n|-|\n",
            "> ",
            "- ",
            "1. ",
            "\n\n",
            "\n",
            "\\",
            "&",
            "\u0000",
            "\ud800",
            "\ufeff",
          ]);
        case 6:
          return `| ${scheme()} | ${this.words()} |\n|---|:-:|\n| [a](${scheme()}) |\n`;
        case 7:
          return `- [ ] [a](${scheme()} "${this.pick(["t", '" onmouseover="alert(1)'])}")\n`;
        case 8:
          return `[__proto__](constructor) &constructor; &__proto__; ${scheme()}`;
        default:
          return this.words();
      }
    };
    return this.some(1, 12, piece, this.pick(["", " ", "\n"]));
  }
}
