import type { ToolCall } from "../index.ts";
import { h } from "./dom.ts";
import type { Room } from "./room.ts";
import type { Text } from "./strings.ts";

const STATES: { readonly [S in ToolCall["state"]]: Text } = {
  awaiting_approval: "parked",
  requested: "running",
  running: "running",
  done: "done",
  failed: "toolFailed",
  denied: "denied",
  expired: "expired",
  unknown: "unknown",
};

/** A tool call: a question while it awaits its decision, else a line that opens. */
export function toolCall(call: ToolCall, room: Room, open = false): HTMLElement {
  return call.state === "awaiting_approval" ? question(call, room) : line(call, room, open);
}

/** What the tool would be given, as it is: who decides must see all of it, and nothing in it may look like more. */
function code(text: string): HTMLElement {
  return h("pre", { dir: "ltr", tabindex: "0" }, h("code", {}, text));
}

function given({ arguments: given }: ToolCall): HTMLElement | undefined {
  return given && code(JSON.stringify(given, undefined, 2).replace(HIDDEN, spelt));
}

/** What shows nothing, or turns what stands beside it around: as it would be written in JSON. */
const HIDDEN = /[\p{Cf}\p{Zl}\p{Zp}]/gu;

function spelt(char: string): string {
  return char.replace(
    /[\s\S]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function question(call: ToolCall, room: Room): HTMLElement {
  const { t, locale } = room.language;
  const asked = t("wants", { tool: call.name });
  let decided = false; // disabled buttons would lose the focus
  const decide = (allow: boolean): void => {
    if (decided) return;
    decided = true;
    buttons.setAttribute("aria-disabled", "true");
    // Where it was decided elsewhere or too late, the call's new state is on its way.
    room.run(room.conversation.approve(call.call, allow), undefined, () => {
      decided = false;
      buttons.removeAttribute("aria-disabled");
    });
  };
  const button = (text: "allow" | "deny", kind: string): HTMLElement =>
    h(
      "button",
      {
        type: "button",
        class: kind,
        "data-do": text,
        on: { click: () => decide(text === "allow") },
      },
      t(text),
    );
  const buttons = h("fieldset", {}, button("allow", "main"), button("deny", "plain"));
  const until =
    call.expires_at && new Date(call.expires_at).toLocaleTimeString(locale, { timeStyle: "short" });
  return h(
    "div",
    { part: "approval", role: "group", "aria-label": asked },
    h("p", {}, asked),
    given(call),
    until ? h("p", { class: "faint" }, t("until", { time: until })) : undefined,
    buttons,
  );
}

function line(call: ToolCall, room: Room, open: boolean): HTMLElement {
  const { t } = room.language;
  return h(
    "details",
    { part: "tool", open },
    h("summary", { "data-do": call.call }, h("bdi", {}, call.name), ` · ${t(STATES[call.state])}`),
    given(call),
    call.result !== undefined && code(call.result),
  );
}
