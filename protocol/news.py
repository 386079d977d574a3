"""What the client machine wants done, and what it tells the application."""

from typing import Literal, TypeAlias

from msgspec import Struct

from protocol.client_states import State
from protocol.codec import FromServer, Refusal, Unknown
from protocol.codes import CloseCode
from protocol.frames.from_client import AnyClientFrame
from protocol.frames.from_server import Attached, Error, Logged, ServerFrame


class Answered(Struct, frozen=True):
    """A request of the application and its one answer; a `Refusal` was decided here."""

    request: AnyClientFrame
    answer: ServerFrame | Refusal


class Delayed(Struct, frozen=True):
    """A request that the server could not do now; it is sent again after `wait_s`."""

    request: AnyClientFrame
    error: Error
    wait_s: float


class Updated(Struct, frozen=True):
    """This frame changed the replica of its conversation."""

    conversation: str
    frame: Attached | Logged | Unknown


class Unfollowed(Struct, frozen=True):
    """The conversation cannot be followed; its replica is gone."""

    conversation: str
    why: Error | Refusal


class Heard(Struct, frozen=True):
    """Any other word of the server: `welcome`, `notice`, `typing`, `presence`, a stray `error` …"""

    frame: FromServer


class NeedToken(Struct, frozen=True):
    """Hand a new token to `auth`; after `expired` the client has stopped, so `connect` too."""

    why: Literal["expiring", "expired", "refused"]


class Moved(Struct, frozen=True):
    """The state changed; `close` says why, `wait_s` how long until the next attempt."""

    state: State
    close: int | None = None
    wait_s: float | None = None


News: TypeAlias = Answered | Delayed | Updated | Unfollowed | Heard | NeedToken | Moved


class Connect(Struct, frozen=True):
    """Open a socket, then report `opened`, or `closed` with 1006."""


class Send(Struct, frozen=True):
    """Send this frame."""

    frame: AnyClientFrame


class Tell(Struct, frozen=True):
    """Tell the application."""

    news: News


class Close(Struct, frozen=True):
    """Let go of the socket, then report `closed` with this code."""

    code: CloseCode


Action: TypeAlias = Connect | Send | Tell | Close
