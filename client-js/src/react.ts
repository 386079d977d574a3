/** Hooks for React. The conversation lives outside: what did not change is not rendered again. */

import {
  createElement,
  type HTMLAttributes,
  type ReactElement,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
} from "react";

import type { Answer } from "./answer.ts";
import type { Connection, ParleyClient } from "./client.ts";
import type { Conversation, SendOptions, Status } from "./conversation.ts";
import { type MarkdownOptions, MarkdownView } from "./markdown/index.ts";
import type { ChatMessage } from "./screen.ts";

export interface Chat {
  readonly conversation: Conversation;
  readonly messages: readonly ChatMessage[];
  readonly status: Status;
  readonly connection: Connection;
  /** Whether `loadMore` would bring older messages. */
  readonly more: boolean;
  send(content: string, options?: SendOptions): Answer;
  stop(): Promise<void>;
  regenerate(answer: string): Answer;
  retry(message: string): Answer;
  loadMore(): Promise<void>;
}

/** A conversation, followed for as long as somebody shows it; without an id, a new one. */
export function useChat(client: ParleyClient, id?: string): Chat {
  const conversation = useMemo(() => begin(client, id), [client, id]);
  useEffect(() => hold(conversation), [conversation]);
  const changes = useCallback(
    (tell: () => void) => conversation.on("change", tell),
    [conversation],
  );
  const messages = useSyncExternalStore(
    changes,
    () => conversation.messages,
    () => conversation.messages,
  );
  const connection = useConnection(client);
  return useMemo(
    () => ({
      conversation,
      messages,
      connection,
      status: conversation.status,
      more: conversation.more,
      send: (content, options) => conversation.send(content, options),
      stop: () => conversation.stop(),
      regenerate: (answer) => conversation.regenerate(answer),
      retry: (message) => conversation.retry(message),
      loadMore: async () => void (await conversation.history()),
    }),
    [conversation, messages, connection],
  );
}

/** One message: whoever shows it is rendered again only when it is another. */
export function useMessage(conversation: Conversation, id: string): ChatMessage | undefined {
  const changes = useCallback(
    (tell: () => void) => conversation.on("change", tell),
    [conversation],
  );
  const find = () => conversation.message(id);
  return useSyncExternalStore(changes, find, find);
}

export function useConnection(client: ParleyClient): Connection {
  const changes = useCallback((tell: () => void) => client.on("state", tell), [client]);
  const now = () => client.connection;
  return useSyncExternalStore(changes, now, now);
}

export interface MarkdownProps extends Omit<HTMLAttributes<HTMLDivElement>, "children"> {
  readonly text: string;
  /** Whether more of it is to come. */
  readonly streaming?: boolean;
  /** Those of the first rendering are kept. */
  readonly options?: MarkdownOptions;
}

/** Shows Markdown, also while it grows: what is settled of it is not touched again. Nothing in it runs. */
export function Markdown({ text, streaming, options, ...attributes }: MarkdownProps): ReactElement {
  const root = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView>(undefined);
  useShown(() => {
    view.current ??= new MarkdownView(root.current as HTMLDivElement, options);
    if (streaming) view.current.update(text);
    else view.current.finish(text);
  }, [text, streaming]);
  return createElement("div", { ...attributes, ref: root });
}

/** Before anybody sees it; where nobody ever does, on a server, React wants nothing of the kind. */
const useShown = typeof document === "undefined" ? useEffect : useLayoutEffect;

const begun = new WeakMap<ParleyClient, Map<string, Conversation>>();

/** React may throw away what it renders, so nothing is opened yet; those of one rendering share theirs. */
function begin(client: ParleyClient, id: string | undefined): Conversation {
  if (id === undefined) return client.unopened();
  let names = begun.get(client);
  if (!names) begun.set(client, (names = new Map()));
  let conversation = names.get(id);
  if (!conversation) {
    names.set(id, (conversation = client.unopened(id)));
    queueMicrotask(() => names.delete(id));
  }
  return conversation;
}

const holders = new WeakMap<Conversation, number>();

/** Strict mode lets go and takes hold again at once; only who stays away is left. */
function hold(conversation: Conversation): () => void {
  const count = (by: number) => {
    const held = (holders.get(conversation) ?? 0) + by;
    holders.set(conversation, held);
    return held;
  };
  if (count(1) === 1) conversation.open();
  return () => {
    if (count(-1) === 0) queueMicrotask(() => holders.get(conversation) || conversation.close());
  };
}
