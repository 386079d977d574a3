/** The two lines to embed the chat, with the address that this page was reached by. */
export function snippet(code: HTMLElement, copy: HTMLElement, copied: HTMLElement): void {
  // This module lies beside the widget, below whatever base path.
  const address = new URL("widget.js", import.meta.url).href;
  const text = `<script type="module" src="${address}"></script>\n<parley-chat inline></parley-chat>`;
  code.textContent = text;
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    copied.textContent = (await clipped(text)) ? "Copied." : selected(code);
  });
}

async function clipped(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // without https there is no clipboard, and a person may forbid it
  }
}

function selected(code: HTMLElement): string {
  getSelection()?.selectAllChildren(code);
  return "Selected: copy it with the keyboard.";
}
