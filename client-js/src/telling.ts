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
  readonly #known = new Map<string, ToolState | undefined>(); // calls as they were told, and sources
  #attempt: number | undefined;
  #open: Prose | undefined;
  #parts = 0;

  /** Goes on behind `parts`. */
  constructor(parts: UIMessage["parts"]) {
    for (const part of parts) {
      if (part.type === "text" || part.type === "reasoning") this.#said[part.type] += part.text;
      else if ("sourceId" in part) this.#known.set(part.sourceId, undefined);
      else if ("toolCallId" in part) {
        const { toolCallId, state } = part;
        this.#known.set(toolCallId, state === "output-available" ? "done" : "running");
        this.waits ||= state === "approval-requested" || state === "input-available";
      }
    }
  }

  /** Whether it says no longer what was told. */
  refuted({ content, attempt }: ChatMessage): boolean {
    const { text, reasoning } = this.#said;
    // Within an attempt it grows; what a crash cost of it may be missing afterwards.
    if (attempt === this.#attempt && content.length >= text.length) return false;
    const broken = !content.startsWith(text) || (this.#attempt && reasoning);
    this.#attempt = attempt;
    return !!broken;
  }

  /** What is new about it. */
  *news(row: ChatMessage): Generator<Chunk, void> {
    yield* this.#prose("reasoning", row.thought);
    for (const tool of row.tools ?? []) yield* this.#tool(tool, row);
    yield* this.#prose("text", row.content);
    const cited = row.citations?.flatMap(({ sources }) => sources) ?? [];
    for (const { document: sourceId, title, url } of [...cited, ...(row.sources ?? [])]) {
      if (this.#known.has(sourceId)) continue;
      this.#known.set(sourceId, undefined);
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

  *#tool(tool: ToolCall, { outcome, state: doing }: ChatMessage): Generator<Chunk, void> {
    const { call: toolCallId, name: toolName, arguments: input = {}, result } = tool;
    let { state } = tool;
    const told = this.#known.get(toolCallId);
    // With its answer a call ends as well, without a word of its own.
    if (outcome && (waiting(tool) || state === "running")) state = "unknown";
    // The server's own calls wait in passing; for somebody else they do in a parked answer.
    else if (waiting(tool) && (told || doing !== "parked")) return;
    if (state === told) return;
    this.#known.set(toolCallId, state);
    if (!told) {
      yield* this.#close();
      const more = { dynamic: true, providerExecuted: state !== "requested" };
      yield { type: "tool-input-available", toolCallId, toolName, input, ...more };
    }
    if (state === "done") yield { type: "tool-output-available", toolCallId, output: result };
    else if (state === "denied") yield { type: "tool-output-denied", toolCallId };
    else if (waiting({ state })) {
      this.waits = true;
      if (state !== "requested")
        yield { type: "tool-approval-request", approvalId: toolCallId, toolCallId };
    } else if (state !== "running")
      yield { type: "tool-output-error", toolCallId, errorText: result ?? state };
  }
}
