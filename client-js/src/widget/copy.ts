import * as drawings from "./drawings.ts";
import { icon, iconButton } from "./icons.ts";
import type { Room } from "./room.ts";

const COPIED_MS = 2000;

/** Copies a text, where the page may: without https it may not, and there is no button. */
export function copyButton(text: string, { language, run, say }: Room): HTMLElement | "" {
  if (!navigator.clipboard) return "";
  const button = iconButton(drawings.copy, language.t("copy"), () =>
    run(navigator.clipboard.writeText(text), () => {
      say(language.t("copied"));
      button.replaceChildren(icon(drawings.done));
      setTimeout(() => button.replaceChildren(icon(drawings.copy)), COPIED_MS);
    }),
  );
  return button;
}
