"""What the endpoint drives besides ASGI's receive and send: the connection itself."""

from collections.abc import Callable
from typing import Final, Protocol

WIRE: Final = "parley.wire"  # its key in scope["extensions"]


class Wire(Protocol):
    """One WebSocket, from its handshake to its end; every call returns at once."""

    on_writable: Callable[[], None] | None
    """Called when `writable` becomes True again."""
    on_pong: Callable[[], None] | None
    """Called on each pong that answers the latest ping."""

    @property
    def peer(self) -> str:
        """The client's address, as a trusted proxy tells it; empty if there is none."""

    @property
    def writable(self) -> bool:
        """Whether to go on writing: it is open, and not over the high-water mark."""

    def write(self, framed: bytes) -> None:
        """Send whole frames (`framing.framed`); without effect unless the socket is open."""

    def ping(self) -> None:
        """Send a ping, after which no earlier one counts; without effect unless it is open."""

    def close(self, code: int) -> None:
        """Send a close frame, wait a while for the peer's, then hang up; idempotent."""

    def abort(self) -> None:
        """Hang up now; what the kernel has not taken is lost."""
