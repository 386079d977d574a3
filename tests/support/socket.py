"""A socket as the registry sees one, that keeps what is done to it."""

from collections.abc import Callable

from protocol.codes import CloseCode
from protocol.frames.from_server import ServerFrame
from protocol.types import GoawayReason
from server.sessions.registry import Registry
from storage.memory.bus import MemoryBus, Switchboard


class FakeSocket:
    """See `server.sessions.registry.Socket`."""

    def __init__(self, due: float = float("inf")) -> None:
        self.due = due
        self.ticks: list[tuple[float, float]] = []
        self.sent: list[ServerFrame] = []
        self.code: CloseCode | None = None
        self.went_after_ms: int | None = None
        self.checks = 0

    def tick(self, now: float, heard_until: float) -> None:
        """Nothing is due after it."""
        self.ticks.append((now, heard_until))
        self.due = float("inf")

    def send(self, frame: ServerFrame) -> None:
        """Keep it."""
        self.sent.append(frame)

    def close(self, code: CloseCode) -> None:
        """Keep it."""
        self.code = code

    def check(self) -> None:
        """Count it."""
        self.checks += 1

    def go_away(self, reason: GoawayReason, reconnect_after_ms: int) -> None:
        """Keep the delay."""
        self.went_after_ms = reconnect_after_ms


def a_registry(
    now: float = 0.0,
    *,
    switchboard: Switchboard | None = None,
    look: Callable[[], None] = lambda: None,
) -> Registry:
    """An empty one, at a moment at which time stands."""
    return Registry(lambda: now, MemoryBus(switchboard), look)
