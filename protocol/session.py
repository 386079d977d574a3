"""The server's side of one connection, as a pure state machine.

Feed it what arrives and the time; do what it returns, in order. It opens no socket, reads no clock
and starts no task. The rules, in one place:

- `hello` comes first and within its time; nothing else is taken before it. Frames sent behind
  `hello` without waiting for `welcome` are held, in order, until the credentials are verified.
- Every client frame but `typing` has exactly one answer. The machine numbers what it hands on
  (`Deliver.exchange`) and refuses a second or an unfitting answer as our own fault.
- A refused frame changes nothing. Only bytes that are no object at all, again and again, end the
  connection (4500), as do limits that are ignored again and again (4007).
- A draining server answers what it can and starts no new answers.
- An id is recognised before any limit, so a frame over one is still handed on, with its refusal.

TRANSITIONS is the whole of the legal; MISUSE says what a peer's illegal event costs it. An illegal
call of our own raises `LocalError` and leaves the state as it was.
"""

from collections import deque
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from protocol.codec import Fatal, FromClient, Refusal
from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import (
    CLIENT_FRAME_BYTES,
    GREETING_FRAME_BYTES,
    HELLO_TIMEOUT_S,
)
from protocol.offer import Offer, declares_tools
from protocol.types import GoawayReason


class State(Enum):
    """Where a connection stands."""

    NEW = "new"  # open, and nothing said yet
    GREETING = "greeting"  # `hello` came; its credentials are being verified
    OPEN = "open"
    DRAINING = "draining"  # `goaway` was sent; what runs goes on
    CLOSED = "closed"


class Event(Enum):
    """What can happen to it."""

    HELLO = "hello"
    FRAME = "frame"  # any frame but `hello`
    REFUSED = "refused"  # bytes that are no frame, or a frame out of bounds
    GRANTED = "granted"
    GOAWAY = "goaway"
    CLOSE = "close"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.NEW, Event.HELLO): State.GREETING,
    (State.NEW, Event.REFUSED): State.NEW,
    (State.NEW, Event.CLOSE): State.CLOSED,
    (State.GREETING, Event.FRAME): State.GREETING,
    (State.GREETING, Event.REFUSED): State.GREETING,
    (State.GREETING, Event.GRANTED): State.OPEN,
    (State.GREETING, Event.CLOSE): State.CLOSED,
    (State.OPEN, Event.FRAME): State.OPEN,
    (State.OPEN, Event.REFUSED): State.OPEN,
    (State.OPEN, Event.GOAWAY): State.DRAINING,
    (State.OPEN, Event.CLOSE): State.CLOSED,
    (State.DRAINING, Event.FRAME): State.DRAINING,
    (State.DRAINING, Event.REFUSED): State.DRAINING,
    (State.DRAINING, Event.CLOSE): State.CLOSED,
}
# What a peer does out of turn. In CLOSED nothing is said: its frames crossed our close.
MISUSE: dict[tuple[State, Event], CloseCode | ErrorCode] = {
    (State.NEW, Event.FRAME): CloseCode.UNAUTHENTICATED,
    (State.GREETING, Event.HELLO): ErrorCode.INVALID_FRAME,
    (State.OPEN, Event.HELLO): ErrorCode.INVALID_FRAME,
    (State.DRAINING, Event.HELLO): ErrorCode.INVALID_FRAME,
}

ANSWERED_BY: dict[type[c.ClientFrame], type[s.ServerFrame] | None] = {
    c.Hello: s.Welcome,
    c.Auth: s.Ok,
    c.Attach: s.Attached,
    c.Detach: s.Ok,
    c.Chat: s.Ack,
    c.Stop: s.Ok,
    c.Regenerate: s.Ack,
    c.Edit: s.Ack,
    c.Select: s.Ok,
    c.Approve: s.Ok,
    c.ToolResult: s.Ok,
    c.GiveFeedback: s.Ok,
    c.ReadHistory: s.History,
    c.Type: None,
    c.Ping: s.Pong,
}
STARTS_ANSWER = (c.Chat, c.Regenerate, c.Edit)


class Due(Enum):
    """What time alone brings about."""

    HELLO = "hello"
    VERIFIED = "verified"
    PROBE = "probe"
    PONG = "pong"
    IDLE = "idle"
    EXPIRING = "expiring"
    EXPIRED = "expired"


OVERDUE: dict[Due, CloseCode] = {
    Due.HELLO: CloseCode.HELLO_TIMEOUT,
    Due.VERIFIED: CloseCode.OVERLOADED,
    Due.PONG: CloseCode.HEARTBEAT_LOST,
    Due.IDLE: CloseCode.IDLE,
    Due.EXPIRED: CloseCode.TOKEN_EXPIRED,
}

NO_EXCHANGE = 0
HELLO_EXCHANGE = 1  # nothing else is handed on before it

HELD_FRAMES = 16  # behind `hello`, each of at most GREETING_FRAME_BYTES
PENDING_FRAMES = 64  # unanswered at once
BAD_JSON_LIMIT, BAD_JSON_WINDOW_S = 5, 60.0
STRIKE_LIMIT, STRIKE_WINDOW_S, STRIKE_SPACING_S = 3, 60.0, 1.0


class Timing(Struct, frozen=True, kw_only=True):
    """The connection's clocks, in seconds; `idle_s` 0 means that silence is no reason to close."""

    hello_s: float = HELLO_TIMEOUT_S
    verify_s: float = 10.0
    heartbeat_s: float = 25.0
    pong_s: float = 10.0  # heartbeat and this end before the 40 s in which a peer must show life
    idle_s: float = 0.0
    expiring_s: float = 60.0
    expired_grace_s: float = 30.0


DEFAULT_TIMING = Timing()


class Send(Struct, frozen=True):
    """Send this frame."""

    frame: s.ServerFrame


class Deliver(Struct, frozen=True):
    """Act on this frame, then `answer` its exchange; exchange 0 wants no answer.

    With `unless_known` only an id that was taken before is acted on, by the answer it got then; any
    other frame is answered with this refusal, for an id is recognised before every limit.
    """

    frame: c.ClientFrame
    exchange: int
    unless_known: Refusal | None = None


class Probe(Struct, frozen=True):
    """Send a WebSocket ping, and report its pong by `ponged`."""


class Close(Struct, frozen=True):
    """Close the socket; nothing is to be done after this."""

    code: CloseCode


Action: TypeAlias = Send | Deliver | Probe | Close


class LocalError(Exception):
    """A call that the machine's rules do not allow: a fault of this server, never of its peer."""


class ServerSession:
    """One connection, seen from the server. `trace` names it in every `error`."""

    def __init__(self, *, trace: str, now: float, timing: Timing = DEFAULT_TIMING) -> None:
        self.state = State.NEW
        self.offer = Offer()
        self._trace = trace
        self._timing = timing
        self._exchanges = 0
        self._pending: dict[int, c.ClientFrame] = {}
        self._held: list[c.ClientFrame] = []
        self._bad_json: deque[float] = deque(maxlen=BAD_JSON_LIMIT)
        self._strikes: deque[float] = deque(maxlen=STRIKE_LIMIT)
        self._due = {Due.HELLO: now + timing.hello_s, Due.PROBE: now + timing.heartbeat_s}

    def __repr__(self) -> str:
        """Show the state and how much is unanswered, never a frame."""
        return f"<ServerSession {self.state.value} unanswered={self.unanswered}>"

    @property
    def frame_cap(self) -> int:
        """How many bytes the next frame may have."""
        if self.state in (State.NEW, State.GREETING):
            return GREETING_FRAME_BYTES
        return min(CLIENT_FRAME_BYTES, self.offer.limits.client_frame_bytes)

    @property
    def unanswered(self) -> int:
        """How many delivered frames still wait for their answer."""
        return len(self._pending)

    @property
    def deadline(self) -> float:
        """When `tick` is due next; infinity once closed."""
        return min(self._due.values(), default=float("inf"))

    def receive(self, received: FromClient, now: float) -> list[Action]:
        """Take what the codec made of a message."""
        if self.state is State.CLOSED:
            return []
        if self._timing.idle_s:
            self._due[Due.IDLE] = now + self._timing.idle_s
        if isinstance(received, Fatal):
            return self.close(received.close)
        if isinstance(received, Refusal):
            self._move(Event.REFUSED)
            return self._refuse(received, now)
        event = Event.HELLO if isinstance(received, c.Hello) else Event.FRAME
        if (self.state, event) in MISUSE:
            return self._misused(MISUSE[self.state, event], received, now)
        self._move(event)
        if event is Event.HELLO:
            del self._due[Due.HELLO]
            self._due[Due.VERIFIED] = now + self._timing.verify_s
            return [self._deliver(received)]
        if self.state is State.GREETING:
            return self._hold(received, now)
        return self._take(received, now)

    def ponged(self, now: float) -> None:
        """The peer answered a probe. Frames do not count as that: what it sends may be all it can.

        A client whose receiving half is dead still talks; only a pong shows that it listens.
        """
        if self._due.pop(Due.PONG, None) is not None:
            self._due[Due.PROBE] = now + self._timing.heartbeat_s

    def grant(self, welcome: s.Welcome, now: float, *, lives_s: float | None) -> list[Action]:
        """Accept the credentials; `lives_s` is the token's remaining life, None for ever.

        To refuse them, `close`.
        """
        if self.state is State.CLOSED:
            return []
        hello = self._settle(HELLO_EXCHANGE, welcome)
        self._move(Event.GRANTED)
        del self._due[Due.VERIFIED]
        self.offer = Offer(welcome.limits, frozenset(welcome.features))
        self._live(lives_s, now)
        waiting: list[c.ClientFrame] = []
        if isinstance(hello, c.Hello):
            waiting += [_attach(wanted) for wanted in hello.attach or []]
        waiting += self._held
        self._held = []
        actions: list[Action] = [Send(welcome)]
        for frame in waiting:
            actions += self._take(frame, now)
        return actions

    def answer(self, exchange: int, frame: s.ServerFrame, now: float) -> list[Action]:
        """Answer a delivered frame; once the connection has ended, nobody receives it."""
        if self.state is State.CLOSED:
            return []
        if exchange == HELLO_EXCHANGE:
            raise LocalError("`hello` is answered by `grant`, or by a close")
        self._settle(exchange, frame)
        actions: list[Action] = [Send(frame)]
        if isinstance(frame, s.Error) and frame.code is ErrorCode.RATE_LIMITED:
            actions += self._strike(now)
        return actions

    def refuse(self, exchange: int, refusal: Refusal, now: float) -> list[Action]:
        """Answer a delivered frame with an error; its `ref` is the frame's own."""
        if self.state is State.CLOSED:
            return []
        return self.answer(exchange, self._error(refusal), now)

    def renew(self, exchange: int, ok: s.Ok, now: float, *, lives_s: float | None) -> list[Action]:
        """Answer an `auth` whose token was accepted."""
        if not isinstance(self._pending.get(exchange), c.Auth | None):
            raise LocalError("only `auth` is answered by `renew`")
        actions = self.answer(exchange, ok, now)
        if self.state is not State.CLOSED:
            self._live(lives_s, now)
        return actions

    def drain(self, reason: GoawayReason, reconnect_after_ms: int) -> list[Action]:
        """Ask the client to move on; one that is not greeted yet is told by its close."""
        if (self.state, Event.GOAWAY) in TRANSITIONS:
            self._move(Event.GOAWAY)
            return [Send(s.Goaway(reason=reason, reconnect_after_ms=reconnect_after_ms))]
        return [] if self.state is State.DRAINING else self.close(CloseCode.RESTART)

    def close(self, code: CloseCode) -> list[Action]:
        """End the connection, for the reason that `code` names."""
        if self.state is State.CLOSED:
            return []
        self.closed()
        return [Close(code)]

    def closed(self) -> None:
        """The connection has ended; answers still under way are dropped."""
        if self.state is not State.CLOSED:
            self._move(Event.CLOSE)
        self._pending.clear()
        self._held.clear()
        self._due.clear()

    def tick(self, now: float, heard_until: float | None = None) -> list[Action]:
        """Do what is due at `now`.

        What the client sent has been read `heard_until` (None: until now): it is late with what was
        due by then.
        """
        heard = now if heard_until is None else heard_until
        for what, when in self._due.items():
            if what in OVERDUE and when <= heard:
                return self.close(OVERDUE[what])
        due = [what for what, when in self._due.items() if when <= now]
        actions: list[Action] = []
        if Due.EXPIRING in due:
            del self._due[Due.EXPIRING]
            ends = self._due[Due.EXPIRED] - self._timing.expired_grace_s
            actions.append(Send(s.Expiring(in_s=max(0, round(ends - now)))))
        if Due.PROBE in due:
            self._due[Due.PROBE] = now + self._timing.heartbeat_s
            self._due.setdefault(Due.PONG, now + self._timing.pong_s)
            actions.append(Probe())
        return actions

    def _move(self, event: Event) -> None:
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            raise LocalError(f"{event.value} is not legal while {self.state.value}") from None

    def _live(self, lives_s: float | None, now: float) -> None:
        self._due.pop(Due.EXPIRING, None)
        self._due.pop(Due.EXPIRED, None)
        if lives_s is not None:
            self._due[Due.EXPIRING] = now + lives_s - self._timing.expiring_s
            self._due[Due.EXPIRED] = now + lives_s + self._timing.expired_grace_s

    def _deliver(self, frame: c.ClientFrame, unless_known: Refusal | None = None) -> Deliver:
        if ANSWERED_BY[type(frame)] is None:
            return Deliver(frame, NO_EXCHANGE)
        self._exchanges += 1
        self._pending[self._exchanges] = frame
        return Deliver(frame, self._exchanges, unless_known)

    def _settle(self, exchange: int, answer: s.ServerFrame) -> c.ClientFrame:
        """Take the exchange off the list, or say which rule its answer breaks."""
        frame = self._pending.get(exchange)
        if frame is None:
            raise LocalError(f"exchange {exchange} has no open frame: answered twice?")
        fitting = ANSWERED_BY[type(frame)]
        if not isinstance(answer, s.Error) and type(answer) is not fitting:
            raise LocalError(f"{type(answer).__name__} does not answer {type(frame).__name__}")
        if named_by(answer) != reference(frame):
            raise LocalError(f"{type(answer).__name__} names another frame than its own")
        del self._pending[exchange]
        return frame

    def _take(self, frame: c.ClientFrame, now: float) -> list[Action]:
        """Answer what the machine itself can, and hand on the rest."""
        if isinstance(frame, c.Ping):
            return [Send(s.Pong(id=frame.id))]
        if isinstance(frame, c.Type):
            return [self._deliver(frame)]  # it has no answer, so no cap of unanswered ones either
        if self.unanswered >= PENDING_FRAMES:
            words = "Too many frames await their answers; wait for some of them."
            return self._refuse(Refusal(ErrorCode.OVERLOADED, words, reference(frame)), now)
        refusal = self.offer.refuse(frame)
        if not isinstance(frame, STARTS_ANSWER):
            return self._refuse(refusal, now) if refusal else [self._deliver(frame)]
        if refusal is None and self.state is State.DRAINING:
            words = "This instance is shutting down; reconnect and send it again with the same id."
            refusal = Refusal(ErrorCode.UNAVAILABLE, words, frame.id)
        return [self._deliver(frame, refusal)]

    def _hold(self, frame: c.ClientFrame, now: float) -> list[Action]:
        if isinstance(frame, c.Chat) and declares_tools(frame):
            # Only `welcome` says whether they are offered. And a byte of free JSON may be 70 in
            # memory, which nobody who is not signed in shall have us hold.
            words = "Tools of the client's own can be declared only after `welcome`."
            return self._refuse(Refusal(ErrorCode.INVALID_FIELD, words, frame.id), now)
        if len(self._held) < HELD_FRAMES:
            self._held.append(frame)
            return []
        if isinstance(frame, c.Type):
            return []
        words = "Too many frames before `welcome`; wait for it."
        return self._refuse(Refusal(ErrorCode.OVERLOADED, words, reference(frame)), now)

    def _misused(
        self, cost: CloseCode | ErrorCode, frame: c.ClientFrame, now: float
    ) -> list[Action]:
        if isinstance(cost, CloseCode):
            return self.close(cost)
        words = f"This frame is not legal while the connection is {self.state.value}."
        return self._refuse(Refusal(cost, words, reference(frame)), now)

    def _refuse(self, refusal: Refusal, now: float) -> list[Action]:
        actions: list[Action] = [Send(self._error(refusal))]
        if refusal.code is ErrorCode.BAD_JSON:
            self._bad_json.append(now)
            if _full_within(self._bad_json, BAD_JSON_WINDOW_S):
                actions += self.close(CloseCode.BAD_REQUEST)
        return actions

    def _error(self, refusal: Refusal) -> s.Error:
        return s.Error(
            code=refusal.code,
            message=refusal.message,
            retryable=refusal.code.retryable,
            retry_after_ms=refusal.retry_after_ms,
            trace=self._trace,
            ref=refusal.ref,
        )

    def _strike(self, now: float) -> list[Action]:
        """Count a limit that was run into; one burst that was under way already counts once."""
        if not self._strikes or now - self._strikes[-1] >= STRIKE_SPACING_S:
            self._strikes.append(now)
            if _full_within(self._strikes, STRIKE_WINDOW_S):
                return self.close(CloseCode.RATE_LIMITED)
        return []


def reference(frame: c.ClientFrame) -> str | None:
    """How an answer names the frame it answers: its id, else its conversation or answer."""
    if isinstance(frame, c.Auth):
        return "auth"
    for name in ("id", "conversation", "answer"):
        value: str | None = getattr(frame, name, None)
        if value is not None:
            return value
    return None


def named_by(answer: s.ServerFrame) -> str | None:
    """The `reference` of the frame that an answer belongs to, as the answer has it."""
    name: str | None = getattr(
        answer, "conversation" if isinstance(answer, s.Attached) else "ref", None
    )
    return name


def _attach(wanted: c.Attachment) -> c.Attach:
    return c.Attach(
        conversation=wanted.conversation, epoch=wanted.epoch, seq=wanted.seq, history=wanted.history
    )


def _full_within(times: deque[float], window_s: float) -> bool:
    return len(times) == times.maxlen and times[-1] - times[0] <= window_s
