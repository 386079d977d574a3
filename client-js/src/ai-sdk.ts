/** Parley as the transport of the Vercel AI SDK's chat: its answers, over our socket. */

import { type ChatTransport, type UIMessage, type UIMessageChunk, uiMessageChunkSchema } from "ai";

import type { Answer } from "./answer.ts";
import type { ParleyClient } from "./client.ts";
import type { Conversation, SendOptions } from "./conversation.ts";
import type { ParleyError } from "./errors.ts";
import type { ChatMessage } from "./screen.ts";
import { Telling, waiting } from "./telling.ts";

export type { AnswerMetadata } from "./telling.ts";

export interface TransportOptions {
  /**
   * Which conversation each chat is: chats are named by the page, conversations by the server.
   * One that outlives the page finds them again after a reload; unless said, a `Map`.
   */
  readonly conversations?: {
    get(chatId: string): string | undefined;
    set(chatId: string, conversation: string): unknown;
  };
  /** Whether the abortion of a request stops its answer, as the chat's `stop()` means it to; true, unless said. */
  readonly stopOnAbort?: boolean;
  /**
   * Calls the chat's `resumeStream()`. AI SDK 6 cannot take back what an answer has said, as a server
   * may that asks another model: its stream ends then, and is resumed with the answer as it is now.
   * Without this the chat is told of an error. AI SDK 7 takes it back by itself.
   */
  readonly resume?: (chatId: string) => unknown;
}

type Sending<Message extends UIMessage> = Parameters<ChatTransport<Message>["sendMessages"]>[0];
type Reconnecting = Parameters<ChatTransport<UIMessage>["reconnectToStream"]>[0];
type Stream = ReadableStream<UIMessageChunk>;
type Parts = UIMessage["parts"];

export class ParleyChatTransport<Message extends UIMessage = UIMessage>
  implements ChatTransport<Message>
{
  readonly resumeStreamIsReplay = true;
  readonly #client: ParleyClient;
  readonly #options: TransportOptions;
  readonly #ids: NonNullable<TransportOptions["conversations"]>;
  readonly #talks = new Map<string, Conversation>();
  readonly #resuming = new Map<string, AbortSignal | undefined>();
  readonly #taken = new Map<string, string | undefined>(); // how the server calls what was sent here

  constructor(client: ParleyClient, options: TransportOptions = {}) {
    this.#client = client;
    this.#options = options;
    this.#ids = options.conversations ?? new Map();
  }

  /** The conversation behind a chat, for all that the AI SDK has no word for. */
  conversation(chatId: string): Conversation {
    let talk = this.#talks.get(chatId);
    if (!talk) this.#talks.set(chatId, (talk = this.#client.conversation(this.#ids.get(chatId))));
    return talk;
  }

  /** Ends whatever runs in a chat, whoever asked for it. */
  stop(chatId: string): Promise<void> {
    return this.conversation(chatId).stop();
  }

  /** Follows its conversations no longer; what runs in them goes on. */
  close(): void {
    for (const talk of this.#talks.values()) talk.close();
    this.#talks.clear();
  }

  /** Sends the last message alone: of those before it the server has its own record. */
  async sendMessages(asked: Sending<Message>): Promise<Stream> {
    const { chatId, trigger, messages, messageId, abortSignal } = asked;
    const talk = this.conversation(chatId);
    const shown = messages.find(({ id }) => id === messageId);
    if (shown?.role === "assistant" && trigger === "submit-message") {
      this.#onAbort(abortSignal, () => talk.stop(shown.id));
      return this.#stream(chatId, talk, this.#decided(talk, shown), shown.parts);
    }
    const answer = this.#ask(talk, asked);
    this.#onAbort(abortSignal, () => answer.stop());
    return this.#stream(chatId, talk, this.#accepted(chatId, talk, answer, messages.at(-1)?.id));
  }

  /** The answer that runs in a chat, from its beginning; null where none does. */
  async reconnectToStream({ chatId, abortSignal }: Reconnecting): Promise<Stream | null> {
    this.#resuming.set(chatId, abortSignal);
    if (!this.#ids.get(chatId)) return null;
    const talk = this.conversation(chatId);
    let id: string | undefined;
    // A chat that resumes once more aborts what it did before, and no person stopped anything.
    this.#onAbort(abortSignal, async () => {
      if (this.#resuming.get(chatId) === abortSignal) await talk.stop(id);
    });
    await this.#until(talk, () => {
      id = talk.messages.filter(({ state }) => state).at(-1)?.id;
      return abortSignal?.aborted || (talk.level && (id || talk.status !== "submitted"));
    });
    return id ? this.#stream(chatId, talk, id) : null;
  }

  #ask(talk: Conversation, { trigger, messages, messageId, body }: Sending<Message>): Answer {
    const last = messages.at(-1) as Message;
    const name = (id: string) => (this.#taken.has(id) ? this.#taken.get(id) : id);
    const text = last.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
    if (trigger === "submit-message") {
      const replaced = messageId && name(messageId);
      if (replaced) return talk.edit(replaced, text, body);
    } else {
      // A message that is still shown, or none, stands for the answer below the last one.
      const above = name(last.id);
      const below = talk.messages.find(({ parent }) => parent === above)?.id;
      const answer = messageId && messageId !== last.id ? messageId : below;
      if (answer) return talk.regenerate(answer, body);
    }
    this.#taken.set(last.id, undefined);
    return talk.send(text, body as SendOptions);
  }

  async #accepted(chatId: string, talk: Conversation, answer: Answer, last = ""): Promise<string> {
    try {
      const ack = await answer.accepted;
      this.#ids.set(chatId, ack.conversation);
      this.#taken.set(last, ack.message);
      return ack.answer;
    } catch (error) {
      // The chat shows it, and may send it again: it is not for us to keep as well.
      for (const { id, delivery } of talk.messages) if (delivery === "failed") talk.discard(id);
      throw error;
    }
  }

  /** Passes on what a person decided, or the page found out, about calls of tools. */
  async #decided(talk: Conversation, { id, parts }: Message): Promise<string> {
    await this.#until(talk, () => talk.level);
    const row = talk.message(id);
    if (!row) throw new Error("The answer is in another branch.");
    for (const { call, ...tool } of row.tools?.filter(waiting) ?? []) {
      for (const part of parts) {
        if (!("toolCallId" in part) || part.toolCallId !== call) continue;
        const { output, approval, errorText: error } = part;
        const content = typeof output === "string" ? output : JSON.stringify(output);
        const done =
          tool.state === "requested"
            ? (error ?? content) && talk.toolResult(call, error ? { error } : { content })
            : approval?.approved !== undefined && talk.approve(call, approval.approved);
        // Too late, or decided elsewhere: what became of the call is told like everything else.
        await (done || undefined)?.catch((error: ParleyError) => {
          if (!error.code.startsWith("approval")) throw error;
        });
      }
    }
    return id;
  }

  #onAbort(signal: AbortSignal | undefined, stop: () => Promise<void>): void {
    if (!signal || this.#options.stopOnAbort === false) return;
    const abort = () => queueMicrotask(() => stop().catch(() => {})); // it ended meanwhile
    if (signal.aborted) abort();
    signal.onabort = abort;
  }

  #stream(chatId: string, talk: Conversation, id: string | Promise<string>, parts?: Parts): Stream {
    const chunks = this.#chunks(chatId, talk, id, parts);
    return new ReadableStream({
      async pull(controller) {
        const { value, done } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => void chunks.return(),
    });
  }

  /** An answer as it goes on; behind `parts`, where some of it is shown already. */
  async *#chunks(
    chatId: string,
    talk: Conversation,
    named: string | Promise<string>,
    parts?: Parts,
  ): AsyncGenerator<UIMessageChunk, void> {
    const id = await named;
    let telling = new Telling(parts ?? []);
    yield { type: "start", messageId: id };
    yield { type: "start-step" };
    for (let row: ChatMessage | undefined; ; ) {
      // Whatever changes is another object; the first may come a while after its name.
      await this.#until(talk, () => talk.message(id) !== row);
      row = talk.message(id);
      if (!row) throw new Error("The answer is in another branch.");
      if (telling.refuted(row)) {
        await this.#takeBack(chatId, !parts);
        yield { type: "reset-step" } as never; // a word of AI SDK 7 alone
        telling = new Telling([]);
      }
      yield* telling.news(row);
      if (row.outcome || (telling.waits && row.state === "parked")) return yield* telling.end(row);
    }
  }

  /** Fails where the stream cannot take back what the chat shows, all of which is in one step or not. */
  async #takeBack(chatId: string, oneStep: boolean): Promise<void> {
    const known = await uiMessageChunkSchema().validate?.({ type: "reset-step" });
    if (oneStep && known?.success) return;
    const { resume } = this.#options;
    // By such words AI SDK 6 knows a stream that is worth resuming.
    if (!resume) throw new TypeError("The answer began anew: resume it, as after a network error.");
    setTimeout(resume, 0, chatId); // when the chat has heard of the end of this stream
    throw new DOMException("", "AbortError");
  }

  /** Watches a conversation, and fails where nothing can change any more. */
  async #until(talk: Conversation, settled: () => unknown): Promise<void> {
    for (;;) {
      if (![...this.#talks.values()].includes(talk)) throw new Error("closed");
      if (settled()) return;
      const { connection } = this.#client;
      if (talk.error) throw talk.error;
      if (connection.state === "closed") throw connection.error ?? new Error("closed");
      await new Promise<void>((changed) => {
        const off = talk.on("change", () => {
          off();
          changed();
        });
      });
    }
  }
}
