import type { ChatMessage, Conversation, Source } from "../index.ts";
import type { Language } from "./strings.ts";

/** What the parts of one shown conversation know and may ask for. */
export interface Room {
  readonly language: Language;
  /** Who answers. */
  readonly name: string;
  readonly imageOrigins: readonly string[];
  readonly conversation: Conversation;
  /** Waits for what was asked, then goes on; a refusal is told. */
  run(asked: Promise<unknown>, then?: () => void, refused?: () => void): void;
  edit(message: ChatMessage): void;
  /** A message that was never accepted goes back to the composer. */
  takeBack(message: ChatMessage): void;
  openSource(source: Source, label: string): void;
  say(text: string): void;
}
