"""What a client sent and the application has not taken yet."""

import asyncio

from starlette.types import Message

# Past either, reading stops until the application has taken all: it may lag, and nothing grows.
MESSAGES = 64
BYTES = 128 * 1024


class Inbox:
    """The events of ASGI's `receive`, in order; the last, that the client is gone, for ever."""

    # An asyncio.Queue would be 2 KiB for each idle socket.
    __slots__ = ("_bytes", "_code", "_events", "_waiting")

    def __init__(self) -> None:
        self._events: list[Message] = [{"type": "websocket.connect"}]
        self._bytes = 0
        self._code: int | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def full(self) -> bool:
        """Whether to stop reading."""
        return len(self._events) >= MESSAGES or self._bytes >= BYTES

    @property
    def empty(self) -> bool:
        """Whether to read on."""
        return not self._events

    def put(self, message: str | bytes) -> None:
        """Add a message."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._events.append({"type": "websocket.receive", kind: message})
        self._bytes += len(message)
        self._wake()

    def end(self, code: int) -> None:
        """Nothing comes any more; the first code counts."""
        if self._code is None:
            self._code = code
            self._wake()

    def drop(self) -> None:
        """Nobody wants what is still here."""
        self._events.clear()

    async def get(self) -> Message:
        """The next event, for one reader at a time."""
        while not self._events:
            if self._code is not None:
                return {"type": "websocket.disconnect", "code": self._code}
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        event = self._events.pop(0)
        if not self._events:
            self._bytes = 0
        return event

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
