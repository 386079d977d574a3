/** The life of the page that a connection lives in; nothing where there is no page. */

interface Watched {
  /** Somebody looks, or the network is back: try now, or ask whether the socket still lives. */
  wake(): void;
  /** The network may be gone: ask whether the socket still lives. */
  probe(): void;
  /** The page may be kept as it is for coming back, but not with an open socket. */
  drop(): void;
}

export function watchPage({ wake, probe, drop }: Watched): () => void {
  if (typeof document === "undefined") return () => {};
  const off = new AbortController();
  const on = (target: EventTarget, name: string, then: () => void) =>
    target.addEventListener(name, then, { signal: off.signal });
  on(window, "online", wake);
  on(window, "pageshow", wake);
  on(window, "offline", probe);
  on(window, "pagehide", drop);
  on(document, "resume", wake); // Chrome may leave out `visibilitychange` after a freeze
  on(document, "visibilitychange", () => {
    if (document.visibilityState === "visible") wake();
  });
  return () => off.abort();
}
