"""The client's side of one connection after another, as a pure state machine.

Feed it what arrives, the time and, where a delay may have to be chosen, a chance in [0, 1); do what
it returns, in order. It opens no socket, reads no clock and throws no dice. The rules:

- `connect` asks for a connection and `stop` ends it. Between the two it reconnects for ever, unless
  a close code says that this is of no use.
- After `Connect` report `opened` or `closed`. After `Close` let go of the socket and report
  `closed` with that code at once: a dead peer would never finish the closing handshake.
- What is followed is followed again after each reconnection, from where it stands. A replica that
  is not level is attached once; where that does not help, the connection is given up.
- Every `submit` ends in exactly one `Answered`, however many connections that takes: a request
  leaves again, with the same id, until its answer comes. What the server refuses for now leaves
  again later; what it does not offer never leaves, nor what was asked as another user.
- What the server sends out of turn is ignored. An illegal call of our own raises `LocalError` and
  leaves the state as it was.
"""

from enum import Enum

from protocol.backoff import Backoff, delay_s
from protocol.client_states import GREETED, SOCKETLESS, TRANSITIONS, UNGREETED, Event, State
from protocol.codec import JSON, Codec, FromServer, Refusal, Unknown
from protocol.codes import Advice, CloseCode, ErrorCode, advice
from protocol.following import Following, OfConversation, greeting
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import GREETING_FRAME_BYTES
from protocol.news import (
    Action,
    Answered,
    Close,
    Connect,
    Delayed,
    Heard,
    Moved,
    NeedToken,
    Send,
    Tell,
    Unfollowed,
    Updated,
)
from protocol.offer import Offer
from protocol.outbox import AnyRequest, Outbox, Request
from protocol.replica import Effect, Replica
from protocol.session import LocalError
from protocol.types import OnBusy, Position

CONNECT_S = 15.0  # from `Connect` to `welcome`, unless somebody chose another time
SILENCE = 1.5  # heartbeats without a word, after which this end asks for one
PONG_S = 10.0
# Of one request of the application, some two minutes of trying; then it is told. What is followed
# nobody would ask for anew, so that is tried for as long as the connection lasts.
REFUSALS = 8
BREAKS = 3  # re-attachments in a row that brought nothing; then the connection is given up

# The bytes of a request may be why the server closed so; sent again, they would do it again.
BLAMING: dict[int, ErrorCode] = {
    CloseCode.PROTOCOL_ERROR: ErrorCode.INVALID_FRAME,
    CloseCode.UNSUPPORTED_DATA: ErrorCode.INVALID_FRAME,
    CloseCode.INVALID_TEXT: ErrorCode.INVALID_FRAME,
    CloseCode.TOO_BIG: ErrorCode.PAYLOAD_TOO_LARGE,
    CloseCode.BAD_REQUEST: ErrorCode.INVALID_FRAME,
}


class Due(Enum):
    """What time alone brings about."""

    WELCOME = "welcome"
    SILENCE = "silence"
    PONG = "pong"
    RECONNECT = "reconnect"


class ClientSession:
    """A client, what it follows and what it asks. `codec` measures what is to be sent."""

    def __init__(
        self,
        *,
        token: str | None = None,
        info: c.ClientInfo | None = None,
        codec: Codec = JSON,
        connect_s: float = CONNECT_S,
    ) -> None:
        self.state = State.STOPPED
        self.welcome: s.Welcome | None = None  # the newest one; it outlives its connection
        self.following = Following()
        self.outbox = Outbox()
        self._token = token
        self._untried = False  # a token came after the one that the server knows
        self._info = info
        self._codec = codec
        self._connect_s = connect_s
        self._offer = Offer()
        self._backoff = Backoff()
        self._pings = 0
        self._due: dict[Due, float] = {}

    def __repr__(self) -> str:
        """Show the state and the counts, never a frame or the token."""
        return f"<ClientSession {self.state.value} {self.following} {self.outbox}>"

    @property
    def replicas(self) -> dict[str, Replica]:
        """What is followed, by conversation; to be read, not to be changed."""
        return self.following.replicas

    @property
    def deadline(self) -> float:
        """When `tick` is due next; infinity if nothing is."""
        due = min(self._due.values(), default=float("inf"))
        if self.state not in GREETED:
            return due
        return min(due, self.outbox.due(starts=self.state is State.OPEN))

    @property
    def bearer(self) -> str | None:
        """A token that does not fit in `hello`: the handshake's `Authorization` brings it."""
        hello = c.Hello(token=self._token, client=self._info)
        return self._token if len(self._codec.encode(hello)) > GREETING_FRAME_BYTES else None

    @property
    def _full(self) -> bool:
        """Whether no more conversations can be followed."""
        return len(self.following) >= self._offer.limits.attached_conversations

    # What the application wants.

    def connect(self, now: float) -> list[Action]:
        """Begin, or begin again."""
        told = self._move(Event.CONNECT)
        self._due = {Due.WELCOME: now + self._connect_s}
        return [*told, Connect()]

    def stop(self) -> list[Action]:
        """End it; what is followed and what has no answer stays for another `connect`."""
        if self.state is State.STOPPED:
            return []
        socketless = self.state is State.WAITING
        told = self._end(CloseCode.NORMAL)
        return told if socketless else [*told, Close(CloseCode.NORMAL)]

    def wake(self, now: float) -> list[Action]:
        """The network is back or somebody looks: cut our own waiting short, or ask for life."""
        if self.state is not State.WAITING:
            return self._ping(now) if self.state in GREETED else []
        self._due[Due.RECONNECT] = max(now, self._backoff.not_before)
        return self.tick(now)

    def submit(self, frame: AnyRequest, now: float, *, into: str | None = None) -> list[Action]:
        """Ask; `Answered` follows. It waits behind what goes into the same conversation."""
        refusal = self._refusal(frame)
        if self.outbox.full:
            words = "Too many requests have no answer yet; wait for some of them."
            refusal = Refusal(ErrorCode.OVERLOADED, words)
        if refusal is not None:
            return [Tell(Answered(frame, refusal))]
        self.outbox.add(frame, into)
        return self._flush(now)

    def withdraw(self, ref: str) -> bool:
        """Take back a request that never left; then no `Answered` follows. False: it did leave."""
        for request in self.outbox.asked():
            if request.ref == ref and not request.known:
                self.outbox.remove(request)
                return True
        return False

    def follow(self, conversation: str, now: float, *, history: int | None = None) -> list[Action]:
        """Bring the conversation level and keep it so; `Updated` or `Unfollowed` follows."""
        if conversation in self.following:
            return []
        if self._full:
            most = self._offer.limits.attached_conversations
            refusal = Refusal(ErrorCode.QUOTA_EXCEEDED, f"No more than {most} can be followed.")
            return [Tell(Unfollowed(conversation, refusal))]
        self.following.begin(conversation, history=history)
        return self._attach(conversation, now)

    def unfollow(self, conversation: str, now: float) -> list[Action]:
        """Stop following."""
        if not self.following.end(conversation):
            return []
        self.outbox.forget(conversation, c.Attach)
        if self.state in UNGREETED:
            return []
        self.outbox.add(c.Detach(conversation=conversation))
        return self._flush(now)

    def auth(self, token: str, now: float) -> list[Action]:
        """Use this token from now on."""
        self._token, self._untried = token, True
        if self.state in UNGREETED:
            return []
        self.outbox.add(c.Auth(token=token))
        return self._flush(now)

    def typing(self, conversation: str) -> list[Action]:
        """Somebody types; worth nothing later, so it is not kept."""
        return [Send(c.Type(conversation=conversation))] if self.state in GREETED else []

    # What happens to the socket.

    def opened(self) -> list[Action]:
        """The socket that `Connect` asked for is open."""
        told = self._move(Event.OPENED)
        self._untried = False
        attaches = self.following.attaches()
        token = self._token if self.bearer is None else None
        hello = greeting(c.Hello(token=token, client=self._info), attaches, self._codec)
        named = len(hello.attach or [])
        self.outbox.greet(attaches[:named], attaches[named:])
        return [*told, Send(hello)]

    def closed(
        self, code: int, now: float, chance: float, *, retry_after_s: float = 0.0
    ) -> list[Action]:
        """The socket has ended or never opened; an HTTP refusal may have named a delay."""
        if self.state in SOCKETLESS:
            return []
        what = advice(code)
        if what is Advice.STOP:
            return [*self._blame(code), *self._end(code)]
        if what is Advice.RENEW and not self._untried:
            return [*self._end(code), Tell(NeedToken("expired"))]
        self._backoff.named(now + retry_after_s)
        wait_s = self._backoff.lost(now, chance)
        told = self._move(Event.LOST, code, wait_s)
        self._let_go()
        self._due = {Due.RECONNECT: now + wait_s}
        return told

    def receive(self, received: FromServer, now: float, chance: float) -> list[Action]:
        """Take what the codec made of a message."""
        if isinstance(received, s.Welcome):
            return self._welcomed(received, now) if self.state is State.GREETING else []
        if self.state is State.GREETING and isinstance(received, s.Error):
            return [Tell(Heard(received))]  # of `hello`: its writer should know, for 4001 says less
        if self.state not in GREETED or self.welcome is None:
            return []
        self._due[Due.SILENCE] = now + SILENCE * self.welcome.heartbeat_s
        match received:
            case s.Goaway():
                return self._drain(received, now)
            case s.Pong():
                self._due.pop(Due.PONG, None)
                return []
            case s.Expiring():
                return [Tell(NeedToken("expiring"))]
            case s.Attached():
                return self._attached(received, now)
            case s.Ack() | s.Ok() | s.History() | s.Error():
                return self._answered(received, now, chance)
            case s.Logged() | Unknown():
                return self._apply(received, now)
        return [Tell(Heard(received))]

    def tick(self, now: float) -> list[Action]:
        """Do what is due at `now`."""
        due = {what for what, when in self._due.items() if when <= now}
        for what in due:
            del self._due[what]
        if Due.WELCOME in due:
            return [Close(CloseCode.HELLO_TIMEOUT)]
        if Due.PONG in due:
            return [Close(CloseCode.HEARTBEAT_LOST)]
        if Due.RECONNECT in due:
            waited = self.state is State.WAITING
            return self.connect(now) if waited else [Close(CloseCode.NORMAL)]
        return [*(self._ping(now) if Due.SILENCE in due else []), *self._flush(now)]

    # What follows from it.

    def _move(
        self, event: Event, close: int | None = None, wait_s: float | None = None
    ) -> list[Action]:
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            raise LocalError(f"{event.value} is not legal while {self.state.value}") from None
        return [Tell(Moved(self.state, close, wait_s))]

    def _end(self, code: int) -> list[Action]:
        told = self._move(Event.STOP, code)
        self._let_go()
        self._due = {}
        return told

    def _let_go(self) -> None:
        self.outbox.lost()
        self.following.lost()

    def _blame(self, code: int) -> list[Action]:
        if code not in BLAMING:
            return []
        words = f"The server closed the connection ({code}) while this was under way."
        actions: list[Action] = []
        for request in self.outbox.under_way():
            self.outbox.remove(request)
            refusal = Refusal(BLAMING[code], words, request.ref)
            actions.append(Tell(Answered(request.frame, refusal)))
        return actions

    def _welcomed(self, welcome: s.Welcome, now: float) -> list[Action]:
        actions = self._move(Event.WELCOME)
        foreign = self.welcome is not None and self.welcome.user != welcome.user
        self.welcome = welcome
        self._offer = Offer(welcome.limits, frozenset(welcome.features))
        self._backoff.opened(now)
        self._due = {Due.SILENCE: now + SILENCE * welcome.heartbeat_s}
        actions.append(Tell(Heard(welcome)))
        return [*actions, *self._reviewed(foreign=foreign), *self._flush(now)]

    def _reviewed(self, *, foreign: bool) -> list[Action]:
        """Answer what is not to leave; where it is `foreign`, somebody else asked all of it."""
        actions: list[Action] = []
        for request in self.outbox.asked():
            # What left before may have been taken: only the server can say what became of it.
            refusal = None if request.known else self._refusal(request.frame)
            if foreign:
                words = "It was asked as another user."
                refusal = Refusal(ErrorCode.FORBIDDEN, words, request.ref)
            if refusal is not None:
                self.outbox.remove(request)
                actions.append(Tell(Answered(request.frame, refusal)))
        return actions

    def _drain(self, goaway: s.Goaway, now: float) -> list[Action]:
        if self.state is State.DRAINING:
            return []
        wait_s = goaway.reconnect_after_ms / 1000
        self._due[Due.RECONNECT] = now + wait_s
        self._backoff.named(now + wait_s)
        return self._move(Event.GOAWAY, wait_s=wait_s)

    def _refusal(self, frame: c.AnyClientFrame) -> Refusal | None:
        """Why the server would refuse `frame`, as far as it has said what it takes."""
        if self.welcome is None:
            return None
        most = self._offer.limits.client_frame_bytes
        if len(self._codec.encode(frame)) > most:
            return Refusal(ErrorCode.PAYLOAD_TOO_LARGE, f"The frame is over {most} bytes.")
        return self._offer.refuse(frame)

    def _flush(self, now: float) -> list[Action]:
        """Send what may leave now."""
        actions: list[Action] = []
        while self.state in GREETED:
            request = self.outbox.next(now, starts=self.state is State.OPEN)
            if request is None:
                break
            request.sent = request.known = True
            actions.append(Send(request.frame))
        return actions

    def _ping(self, now: float) -> list[Action]:
        if Due.PONG in self._due:
            return []
        self._pings += 1
        self._due[Due.PONG] = now + PONG_S
        return [Send(c.Ping(id=f"ping-{self._pings}"))]

    def _attach(self, conversation: str, now: float) -> list[Action]:
        if self.state in UNGREETED:
            return []
        self.outbox.forget(conversation, c.Attach)  # one that still waits says an older position
        self.outbox.add(self.following.attach(conversation))
        return self._flush(now)

    def _attached(self, frame: s.Attached, now: float) -> list[Action]:
        request = self.outbox.match(frame)  # None: an epoch has ended, or an `ack` is to come
        if request is not None:
            self.outbox.remove(request)
        if self.outbox.about(frame.conversation, c.Detach):
            return self._flush(now)
        if frame.conversation not in self.following and not self._full:
            self.following.begin(frame.conversation)
        told = self._apply(frame, now)
        closes = any(isinstance(action, Close) for action in told)
        return told if closes else [*told, *self._flush(now)]

    def _apply(self, frame: OfConversation, now: float) -> list[Action]:
        conversation, effect = self.following.take(frame)
        if effect is Effect.APPLIED:
            return [Tell(Updated(conversation, frame))]
        if effect not in (Effect.HOLE, Effect.MISMATCH):
            return []
        if self.replicas[conversation].breaks > BREAKS:
            return [Close(CloseCode.NOT_LEVEL)]
        return self._attach(conversation, now)

    def _answered(
        self, answer: s.Ack | s.Ok | s.History | s.Error, now: float, chance: float
    ) -> list[Action]:
        request = self.outbox.match(answer)
        if request is None:
            return [Tell(Heard(answer))] if isinstance(answer, s.Error) else []
        if isinstance(answer, s.Error) and _is_worth_another_try(request, answer):
            named_s = (answer.retry_after_ms or 0) / 1000
            wait_s = max(named_s, delay_s(request.refusals, chance))
            self.outbox.retry(request, now + wait_s)
            return [Tell(Delayed(request.frame, answer, wait_s))]
        self.outbox.remove(request)
        return [*self._settle(request.frame, answer, now), *self._flush(now)]

    def _settle(
        self, frame: c.AnyClientFrame, answer: s.Ack | s.Ok | s.History | s.Error, now: float
    ) -> list[Action]:
        actions: list[Action] = [Tell(Answered(frame, answer))]
        match frame, answer:
            case c.Attach(), s.Error():
                followed = self.following.end(frame.conversation)
                return [Tell(Unfollowed(frame.conversation, answer))] if followed else []
            case c.Auth(), _:
                self._untried = frame.token != self._token
                refused = isinstance(answer, s.Error)
                return [Tell(NeedToken("refused"))] if refused else []
            case c.Detach(), _:
                return []
            case _, s.Ack():
                actions += self._acknowledged(frame, answer, now)
            case c.ReadHistory(), s.History() if frame.conversation in self.following:
                self.replicas[frame.conversation].merge(answer.messages)
        return actions

    def _acknowledged(self, frame: c.AnyClientFrame, ack: s.Ack, now: float) -> list[Action]:
        """Sending attaches. Only of a new conversation does that tell everything.

        In an older one the position lies behind rows and unfinished answers that nothing here
        knows, whose later frames would make no sense: so a snapshot is asked for.
        """
        known = ack.conversation in self.following
        if known or self.outbox.about(ack.conversation, c.Detach):
            return []
        if isinstance(frame, c.Chat) and frame.conversation is None:
            self.following.begin(ack.conversation, at=Position(ack.epoch, ack.seq))
            return []
        self.following.begin(ack.conversation)
        return self._attach(ack.conversation, now)


def _is_worth_another_try(request: Request, error: s.Error) -> bool:
    """Whether to ask again later: not where the application chose to be told at once."""
    busy = error.code is ErrorCode.BUSY
    chosen = getattr(request.frame, "on_busy", None) is OnBusy.REJECT
    patient = request.refusals < REFUSALS or not isinstance(request.frame, AnyRequest)
    return error.retryable and patient and not (busy and chosen)
