/** What a chat of the AI SDK was told of an answer, and what it has yet to be told. */

import type { FinishReason, UIMessage, UIMessageChunk } from "ai";

import type { ToolCall, ToolState } from "./frames.ts";
import type { ChatMessage } from "./screen.ts";

/** What an answer has under `metadata` once it has ended. */
export type AnswerMetadata = Partial<
  Pick<ChatMessage, "outcome" | "model" | "usage" | "citations" | "degraded">
>;

type Chunk = UIMessageChunk<AnswerMetadata>;
type Prose = "text" | "reasoning";

/** Whether a call is somebody's to decide, or the page's to run. */
export function waiting({ state }: Pick<ToolCall, "state">): boolean {
  return state === "awaiting_approval" || state === "requested";
}

export class Telling {
  /** Somebody was told of a call that is theirs to decide or to run, and has not done so. */
  waits = false;
  readonly #said = { text: "", reasoning: "" };
  readonly #calls = new Map<string, ToolState>();
  readonly #sources = new Set<string>();
  #attempt: number | undefined;
  #open: Prose | undefined;
  #parts = 0;

  /** Goes on behind `parts`. */
  constructor(parts: UIMessage["parts"]) {
    for (const part of parts) {
      if (part.type === "text" || part.type === "reasoning") this.#said[part.type] += part.text;
      else if ("sourceId" in part) this.#sources.add(part.sourceId);
      else if ("toolCallId" in part) {
        const { state } = part;
        this.#calls.set(part.toolCallId, state === "output-available" ? "done" : "running");
        if (state === "approval-requested" || state === "input-available") this.waits = true;
      }
    }
  }

  /** Whether it says no longer what was told. */
  refuted({ content, attempt }: ChatMessage): boolean {
    if (attempt === this.#attempt) return false; // within an attempt it only grows
    const first = this.#attempt === undefined;
    this.#attempt = attempt;
    return !content.startsWith(this.#said.text) || (!first && !!this.#said.reasoning);
  }

  /** What is new about it. */
  *news(row: ChatMessage): Generator<Chunk, void> {
    yield* this.#prose("reasoning", row.thought);
    yield* this.#tools(row);
    yield* this.#prose("text", row.content);
    const cited = row.citations?.flatMap(({ sources }) => sources) ?? [];
    for (const { document: sourceId, title, url } of [...cited, ...(row.sources ?? [])]) {
      if (this.#sources.has(sourceId)) continue;
      this.#sources.add(sourceId);
      if (url) yield { type: "source-url", sourceId, title, url };
      else yield { type: "source-document", sourceId, title, mediaType: "text/plain" };
    }
  }

  /** How it ended, or that it goes on only when somebody has done something. */
  *end(row: ChatMessage): Generator<Chunk, void> {
    const { outcome, finish_reason, model, usage, citations, degraded, failure } = row;
    yield* this.#close();
    if (outcome === "failed" || outcome === "interrupted") {
      yield { type: "error", errorText: failure?.message ?? `The answer was ${outcome}.` };
      return;
    }
    if (outcome === "stopped") yield { type: "abort" };
    yield { type: "finish-step" };
    // Of an answer that is complete the AI SDK has the same three reasons.
    const reason = outcome === "complete" ? finish_reason?.replace("_", "-") : "other";
    const finishReason = (outcome ? reason : "tool-calls") as FinishReason;
    const messageMetadata = { outcome, model, usage, citations, degraded } as AnswerMetadata;
    yield { type: "finish", finishReason, messageMetadata };
  }

  *#prose(type: Prose, said = ""): Generator<Chunk, void> {
    const delta = said.slice(this.#said[type].length);
    if (!delta) return;
    if (this.#open !== type) {
      yield* this.#close();
      this.#open = type;
      yield { type: `${type}-start`, id: `${++this.#parts}` };
    }
    this.#said[type] = said;
    yield { type: `${type}-delta`, id: `${this.#parts}`, delta };
  }

  *#close(): Generator<Chunk, void> {
    if (this.#open) yield { type: `${this.#open}-end`, id: `${this.#parts}` };
    this.#open = undefined;
  }

  *#tools({ tools = [], outcome, state: doing }: ChatMessage): Generator<Chunk, void> {
    for (const { call: toolCallId, name: toolName, arguments: input = {}, ...tool } of tools) {
      // With its answer a call ends as well, without a word of its own.
      const open = waiting(tool) || tool.state === "running";
      const state = outcome && open ? "unknown" : tool.state;
      const before = this.#calls.get(toolCallId);
      // The server's own calls wait in passing; for somebody else they do in a parked answer.
      if (state === before || (waiting({ state }) && (before || doing !== "parked"))) continue;
      this.#calls.set(toolCallId, state);
      if (!before) {
        yield* this.#close();
        const more = { dynamic: true, providerExecuted: state !== "requested" };
        yield { type: "tool-input-available", toolCallId, toolName, input, ...more };
      }
      const { result } = tool;
      if (waiting({ state })) this.waits = true;
      if (state === "awaiting_approval")
        yield { type: "tool-approval-request", approvalId: toolCallId, toolCallId };
      else if (state === "done")
        yield { type: "tool-output-available", toolCallId, output: result };
      else if (state === "denied") yield { type: "tool-output-denied", toolCallId };
      else if (!waiting({ state }) && state !== "running")
        yield { type: "tool-output-error", toolCallId, errorText: result ?? state };
    }
  }
}
