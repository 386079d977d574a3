"""A socket's wire whose peer reads when a test says so, and whose frames a test can read."""

from collections.abc import Callable

from protocol.codec import JSON, MSGPACK, FromServer


class FakeWire:
    """See `server.net.wire.Wire`; `jammed` stands for a peer that does not read."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.on_pong: Callable[[], None] | None = None
        self.peer = "127.0.0.1"
        self.writable = True
        self.written: list[bytes] = []
        self.pings = 0
        self.code: int | None = None
        self._sips = False

    def write(self, framed: bytes) -> None:
        """Keep it."""
        if self.code is None:
            self.written.append(framed)
        if self._sips:
            self._sips = self.writable = False

    def ping(self) -> None:
        """Count it."""
        self.pings += 1

    def close(self, code: int) -> None:
        """Keep the first code."""
        if self.code is None:
            self.code = code
            self.writable = False

    def abort(self) -> None:
        """Nothing is left to do."""

    def jam(self) -> None:
        """The peer stops reading."""
        self.writable = False

    def drain(self) -> None:
        """The peer has read everything."""
        self._has_room(sips=False)

    def sip(self) -> None:
        """The peer has read what makes room for one frame."""
        self._has_room(sips=True)

    def _has_room(self, *, sips: bool) -> None:
        self._sips = sips
        self.writable = True
        if self.on_writable is not None:
            self.on_writable()

    @property
    def frames(self) -> list[FromServer]:
        """What was written, read as a client reads it."""
        return [read(framed) for framed in self.written]


def read(framed: bytes) -> FromServer:
    """What a client reads in a WebSocket frame of the server."""
    short = framed[1]
    start = {126: 4, 127: 10}.get(short, 2)
    payload = framed[start:]
    if framed[0] & 0x0F == 2:
        return MSGPACK.decode_server(payload)
    return JSON.decode_server(payload.decode())
