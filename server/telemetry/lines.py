"""The canonical lines, one per connection and one per answer when it has ended; refusals; faults.

Each is a frozen struct of ids, sizes and codes. A field that is None is left out of the line.
"""

import re

from msgspec import Struct
from msgspec.structs import asdict

from protocol.codes import ErrorCode
from protocol.types import FinishReason, Outcome
from server.errors import ChatError
from server.telemetry.logs import get_logger
from server.telemetry.scrub import network_of, user_id
from storage.errors import Overloaded, Unavailable

_OF_SOFTWARE = re.compile(r"[A-Za-z0-9._+/-]{1,32}")
_log = get_logger()


class ConnectionClosed(Struct, frozen=True, kw_only=True):
    """What a connection was, from its first byte to its last.

    `peer` is the address itself; the line has its network alone. `code` is the close code that was
    sent or received, 1006 if there was none. `client` is the name and version that `hello` told.
    """

    session: str
    trace: str
    peer: str
    codec: str | None = None
    tenant: str | None = None
    user: str | None = None
    client: tuple[str, str | None] | None = None
    code: int
    duration_s: float
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class AnswerEnded(Struct, frozen=True, kw_only=True):
    """What an answer came to, in this incarnation's hands; `length` in UTF-16 units."""

    answer: str
    conversation: str
    tenant: str
    model: str | None = None
    provider: str | None = None
    outcome: Outcome
    finish_reason: FinishReason
    code: ErrorCode | None = None  # of the error, where it failed
    attempt: int = 1
    length: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    queue_ms: int | None = None
    first_token_ms: int | None = None
    total_ms: int | None = None
    chunks: int = 0
    trace: str | None = None


def connection_closed(closed: ConnectionClosed) -> None:
    """Write the line of a connection that has ended."""
    fields = _set_fields(closed)
    fields["peer"] = network_of(closed.peer)
    fields["duration_s"] = round(closed.duration_s, 3)
    if closed.user is not None:
        fields["user"] = user_id(closed.user)
    if closed.client is not None:
        fields["client"] = "/".join(_software(part) for part in closed.client if part)
    _log.info("connection closed", **fields)


def refused(error: ChatError, peer: str, trace: str) -> None:
    """Write down why a request was kept out before a route or a socket had it."""
    _log.info(
        "a request was refused",
        status=error.status,
        code=error.code,
        reason=error.message,
        peer=network_of(peer),
        trace=trace,
    )


def answer_ended(ended: AnswerEnded) -> None:
    """Write the line of an answer that has ended."""
    _log.info("answer ended", **_set_fields(ended))


def token_refused(reason: str, peer: str | None, trace: str) -> None:
    """Write down why a credential was not accepted; whoever showed it is not told."""
    network = network_of(peer) if peer is not None else None
    _log.info("a token was refused", reason=reason, peer=network, trace=trace)


def fault(name: str, error: BaseException) -> None:
    """Write down a failure of our own; `name` is the trace or the task that it belongs to.

    That a store is away is none: it says so itself each time, and a stack would say no more.
    """
    if isinstance(error, Unavailable | Overloaded):
        _log.warning("the store failed", at=name, why=str(error))
    else:
        _log.error("a fault", name=name, exc_info=error)


def _set_fields(line: Struct) -> dict[str, object]:
    return {name: value for name, value in asdict(line).items() if value is not None}


def _software(name: str) -> str:
    """A program's name or version if it looks like one: a client may put any text there."""
    return name if _OF_SOFTWARE.fullmatch(name) else f"<{len(name)}>"
