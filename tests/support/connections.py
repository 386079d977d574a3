"""The server's side of a connection without a socket: messages in, answers out."""

from collections.abc import Iterable

from msgspec import Struct

from protocol.codec import Codec, Refusal
from protocol.codes import CloseCode, ErrorCode
from protocol.frames.from_client import Hello
from protocol.frames.from_server import Error, ServerFrame, Welcome
from protocol.frames.objects import Server
from protocol.limits import Limits
from protocol.offer import Feature
from protocol.session import NO_EXCHANGE, Action, Close, Deliver, Send, ServerSession, reference
from tests.support.vectors import Message


class Told(Struct):
    """What a message led to."""

    sent: list[ServerFrame] = []
    delivered: list[Deliver] = []
    close: CloseCode | None = None

    @property
    def errors(self) -> list[Error]:
        """The `error` frames among those sent."""
        return [frame for frame in self.sent if isinstance(frame, Error)]


class Connection:
    """One connection; time stands still unless told otherwise."""

    def __init__(self, codec: Codec, features: Iterable[str] = tuple(Feature)) -> None:
        self.codec = codec
        self.session = ServerSession(trace="t1", now=0.0)
        self._features = list(features)

    def open(self) -> "Connection":
        """Greet, so that any frame is legal."""
        [hello] = self._told(self.session.receive(Hello(), 0.0)).delivered
        self.grant(hello)
        return self

    def grant(self, hello: Deliver) -> Told:
        """Accept the credentials of a `hello` that was handed on."""
        welcome = Welcome(
            session="s1",
            user="u1",
            tenant="t1",
            server=Server(name="parley", version="0", instance="i1"),
            heartbeat_s=25,
            limits=Limits(),
            features=self._features,
            expires_at=None,
        )
        return self._told(self.session.grant(welcome, 0.0, lives_s=None))

    def receive(self, message: Message, now: float = 0.0) -> Told:
        """Take a message as a socket's reader would."""
        received = self.codec.decode_client(message, self.session.frame_cap)
        return self._told(self.session.receive(received, now))

    def answer(self, handed: Deliver, now: float = 0.0) -> Told:
        """Answer what was handed on: `not_found` fits every frame."""
        if handed.exchange == NO_EXCHANGE:
            return Told()
        words = "There is no such thing."
        refusal = Refusal(ErrorCode.NOT_FOUND, words, reference(handed.frame))
        return self._told(self.session.refuse(handed.exchange, refusal, now))

    def _told(self, actions: list[Action]) -> Told:
        told = Told()
        for action in actions:
            match action:
                case Send():
                    told.sent.append(action.frame)
                case Deliver(exchange=number, unless_known=Refusal() as refusal):
                    # No id was taken before, for nothing is stored here.
                    actions += self.session.refuse(number, refusal, 0.0)
                case Deliver():
                    told.delivered.append(action)
                case Close():
                    told.close = action.code
        return told
