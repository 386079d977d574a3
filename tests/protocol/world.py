"""Both machines at the ends of a link that breaks, and a small server behind one of them.

Time is virtual, and one seeded `Random` decides what happens next: nothing here waits.
"""

import random
from collections import Counter, deque
from typing import Any

from protocol.client import ClientSession
from protocol.client_states import State
from protocol.codec import CODECS, Fatal, Refusal
from protocol.codes import CloseCode, ErrorCode
from protocol.folding import fold
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.news import Answered, Close, Connect, NeedToken, Send, Tell
from protocol.outbox import AnyRequest
from protocol.session import Close as ServerClose
from protocol.session import Deliver, ServerSession, reference
from protocol.session import Send as ServerSend
from protocol.types import GoawayReason, Outcome
from tests.protocol.examples import ack, error, welcome
from tests.protocol.room import Room

LIVES_S = 300.0  # of a token


class Link:
    """One connection: bytes on their way in both directions, and the server's machine."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.session = ServerSession(trace="t", now=world.now)
        self.up: deque[bytes | str] = deque()
        self.down: deque[bytes | str] = deque()
        self.asked: list[Deliver] = []
        self.following: dict[str, int] = {}
        self.closing: int | None = None

    def do(self, actions: list[Any]) -> None:
        """What the server's machine wants; a probe is answered at once, as by any browser."""
        for action in actions:
            match action:
                case ServerSend(frame):
                    self.send(frame)
                case Deliver(_, exchange):
                    if exchange:
                        self.asked.append(action)
                case ServerClose(code):
                    self.closing = int(code)
                case _:
                    self.session.ponged(self.world.now)

    def send(self, frame: s.ServerFrame) -> None:
        self.down.append(self.world.wire(frame))

    def hear(self) -> None:
        """Take one message of the client's."""
        codec, message = self.world.codec, self.up.popleft()
        received = codec.decode_client(message, self.session.frame_cap)
        assert not isinstance(received, Refusal | Fatal), received
        self.do(self.session.receive(received, self.world.now))

    def serve(self, delivered: Deliver) -> None:
        """Answer one frame, and begin to follow where that is its meaning."""
        self.asked.remove(delivered)
        frame, now = delivered.frame, self.world.now
        if isinstance(frame, c.Hello):
            self.do(self.session.grant(welcome(), now, lives_s=LIVES_S))
            return
        if isinstance(frame, c.Auth):
            ok = s.Ok(ref="auth")
            self.do(self.session.renew(delivered.exchange, ok, now, lives_s=LIVES_S))
            return
        if isinstance(frame, c.Attach):
            self._attach(delivered, frame)
            return
        if isinstance(frame, c.Detach):
            self.following.pop(frame.conversation, None)
        answer = self.world.act(frame)
        if isinstance(answer, s.Ack) and answer.conversation not in self.following:
            self._follow_from(answer)
        self.do(self.session.answer(delivered.exchange, answer, now))

    def _attach(self, delivered: Deliver, frame: c.Attach) -> None:
        room, dice = self.world.rooms.get(frame.conversation), self.world.dice
        if room is None or self.world.happens(0.1):
            code = ErrorCode.NOT_FOUND if room is None else ErrorCode.UNAVAILABLE
            refusal = error(code, frame.conversation)
            self.do(self.session.answer(delivered.exchange, refusal, self.world.now))
            return
        frames: list[s.ServerFrame]
        if frame.epoch == room.epoch and frame.seq is not None:
            frames, at = [room.recovered(frame.seq)], frame.seq
        else:
            at = dice.choice([len(room.log), dice.randint(0, len(room.log))])
            frames = room.snapshot(at, fits=dice.choice([3, 10**9]))
        self.do(self.session.answer(delivered.exchange, frames[0], self.world.now))
        for more in frames[1:]:
            self.send(more)
        self.following[frame.conversation] = at
        self.go_on(frame.conversation)

    def _follow_from(self, answer: s.Ack) -> None:
        """Sending attaches; if the position is gone, `attached` comes first."""
        room = self.world.rooms[answer.conversation]
        at = answer.seq
        if answer.epoch != room.epoch:
            at = len(room.log)
            for frame in room.snapshot():
                self.send(frame)
        self.following[answer.conversation] = at

    def go_on(self, conversation: str) -> None:
        """Send what is new in the log, folded as for a reader that fell behind, or not."""
        room, at = self.world.rooms[conversation], self.following[conversation]
        missed = room.log[at:]
        for frame in fold(missed) if self.world.happens(0.5) else missed:
            self.send(frame)
        self.following[conversation] = len(room.log)


class World:
    """A client, its application and a server, until everything has its answer."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.codec = self.dice.choice(list(CODECS.values()))
        self.calm = False
        self.now = 0.0
        self.rooms: dict[str, Room] = {}
        self.client = ClientSession(token="token", codec=self.codec)
        self.link: Link | None = None
        self.connecting = False
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.accepted: dict[str, s.Ack] = {}
        self.cuts = 0
        self.tokens = 0
        self.do(self.client.connect(self.now))

    def happens(self, chance: float) -> bool:
        """Whether trouble of this likelihood comes now."""
        return not self.calm and self.dice.random() < chance

    def wire(self, frame: Any) -> bytes | str:
        raw = self.codec.encode(frame)
        return raw if self.codec.binary else raw.decode()

    # The client's shell

    def do(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case Connect():
                    self.connecting = True
                case Send(frame):
                    assert self.link is not None
                    self.link.up.append(self.wire(frame))
                case Close(code):
                    self.lose(int(code))
                case Tell(Answered(request, _)):
                    self.answered[str(reference(request))] += 1
                case Tell(NeedToken(why)):
                    assert why == "expiring"
                    self.tokens += 1
                    self.do(self.client.auth(f"token-{self.tokens}", self.now))

    def lose(self, code: int) -> None:
        """The socket is gone, with all that was on its way."""
        self.cuts += 1
        if self.link is not None:
            self.link.session.closed()
        self.link, self.connecting = None, False
        self.do(self.client.closed(code, self.now, self.dice.random()))

    # The server's application

    def act(self, frame: c.ClientFrame) -> s.ServerFrame:
        """Do what a frame asks, or refuse; sometimes do it and lose the answer."""
        ref = str(reference(frame))
        if isinstance(frame, c.Detach):
            return s.Ok(ref=ref)
        if self.happens(0.1):
            return error(ErrorCode.UNAVAILABLE, ref)
        answer = self._act(frame, ref)
        return error(ErrorCode.UNAVAILABLE, ref) if self.happens(0.1) else answer

    def _act(self, frame: c.ClientFrame, ref: str) -> s.ServerFrame:
        match frame:
            case c.Chat():
                return self._send(frame)
            case c.Stop():
                for room in self.rooms.values():
                    if frame.answer in room.now.running:
                        room.complete(frame.answer, Outcome.STOPPED)
                return s.Ok(ref=ref)
            case c.ReadHistory():
                room = self.rooms[frame.conversation]
                return s.History(ref=ref, messages=room.branch()[-100:], more=False)
            case c.Select():
                self.rooms[frame.conversation].select(frame.leaf)
                return s.Ok(ref=ref)
        return error(ErrorCode.NOT_FOUND, ref)

    def _send(self, chat: c.Chat) -> s.Ack:
        if chat.id in self.accepted:
            known = self.accepted[chat.id]
            more = {name: getattr(known, name) for name in known.__struct_fields__}
            return s.Ack(**more | {"duplicate": True})
        name = chat.conversation or f"c{len(self.rooms)}"
        room = self.rooms.setdefault(name, Room(name, f"{name}-"))
        position = {"epoch": room.epoch, "seq": len(room.log)}
        parent = room.now.leaf
        answer = room.say(chat.content, parent)
        message = room.now.rows[answer].parent
        self.accepted[chat.id] = ack(
            chat, conversation=name, message=message, answer=answer, **position
        )
        return self.accepted[chat.id]

    # What happens

    def step(self) -> None:
        """One thing, of those that can happen now."""
        chances = {
            self.carry: 40,
            self.speak: 15,
            self.ask: 4,
            self.turn: 2,
            self.pass_time: 8,
            self.lose_log: 1,
            self.drain: 1,
            self.cut: 2,
        }
        self.dice.choices(list(chances), list(chances.values()))[0]()

    def carry(self) -> None:
        """Something arrives: a socket, a message up or down, a verdict."""
        if self.connecting:
            self.connecting = False
            if self.happens(0.2):
                self.lose(1006)
                return
            self.link = Link(self)
            self.do(self.client.opened())
        link = self.link
        if link is None:
            return
        ways = [bool(link.up), bool(link.down), bool(link.asked)]
        if link.closing is not None and not link.down:
            self.lose(link.closing)
        elif any(ways):
            way = self.dice.choice([number for number, can in enumerate(ways) if can])
            self._carry(link, way)

    def _carry(self, link: Link, way: int) -> None:
        if way == 0:
            link.hear()
        elif way == 1:
            received = self.codec.decode_server(link.down.popleft())
            self.do(self.client.receive(received, self.now, self.dice.random()))
        else:
            link.serve(self.dice.choice(link.asked))

    def speak(self) -> None:
        """An answer goes on, or ends; who follows hears of it."""
        running = [(room, name) for room in self.rooms.values() for name in room.now.running]
        if running:
            room, answer = self.dice.choice(running)
            deed = self.dice.random()
            if deed < 0.15 or self.calm:
                room.complete(answer)
            elif deed < 0.2:
                room.reset(answer)
            else:
                room.chunk(answer, self.dice.choice(["Wort ", "\U0001f600", "é", "x" * 20]))
        self.publish()

    def publish(self) -> None:
        if self.link is not None and self.link.closing is None:
            for conversation in self.link.following:
                self.link.go_on(conversation)

    def ask(self) -> None:
        """The application wants something."""
        if self.calm:
            return
        number = sum(self.asked.values())
        names, dice = list(self.rooms), self.dice
        conversation = dice.choice([None, *names])
        frame: AnyRequest = c.Chat(id=f"q{number}", content="x", conversation=conversation)
        if conversation is not None and dice.random() < 0.5:
            rows = list(self.rooms[conversation].now.rows)
            others: list[AnyRequest] = [
                c.ReadHistory(id=f"q{number}", conversation=conversation),
                c.Select(id=f"q{number}", conversation=conversation, leaf=dice.choice(rows)),
                c.Stop(answer=dice.choice(rows)),
            ]
            frame = dice.choice(others)
        self.asked[str(reference(frame))] += 1
        self.do(self.client.submit(frame, self.now))

    def turn(self) -> None:
        """The person goes to another conversation."""
        if self.rooms and not self.calm:
            name = self.dice.choice(list(self.rooms))
            if name in self.client.replicas:
                self.do(self.client.unfollow(name, self.now))
            else:
                self.do(self.client.follow(name, self.now))

    def pass_time(self) -> None:
        """A little time, or all until somebody has something to do."""
        due = self.client.deadline
        if self.link is not None:
            due = min(due, self.link.session.deadline)
        if self.dice.random() < 0.3 and due < float("inf"):
            self.now = max(self.now, due)
        else:
            self.now += self.dice.random() * 0.1
        self.do(self.client.tick(self.now))
        if self.link is not None:
            self.link.do(self.link.session.tick(self.now))

    def lose_log(self) -> None:
        """A room's log is lost; who follows gets a snapshot unasked."""
        if self.rooms and not self.calm:
            self.publish()
            name = self.dice.choice(list(self.rooms))
            self.rooms[name].forget_log()
            if self.link is not None and name in self.link.following:
                self.link.following[name] = 0
                for frame in self.rooms[name].snapshot():
                    self.link.send(frame)

    def drain(self) -> None:
        """The instance goes away, after a while or at once."""
        if self.link is not None and not self.calm:
            self.link.do(self.link.session.drain(GoawayReason.SHUTDOWN, 200))
            if self.dice.random() < 0.5:
                self.link.do(self.link.session.close(CloseCode.RESTART))

    def cut(self) -> None:
        """The network ends the connection, wherever its messages are."""
        if (self.link is not None or self.connecting) and not self.calm:
            self.lose(self.dice.choice([1006, 1006, 1011, 4004, 4008]))

    @property
    def quiet(self) -> bool:
        """Whether nothing is left to happen."""
        link = self.link
        return (
            self.client.state is State.OPEN
            and len(self.client.outbox) == 0
            and link is not None
            and not (link.up or link.down or link.asked)
            and not any(room.now.running for room in self.rooms.values())
            and all(link.following.get(n) == len(self.rooms[n].log) for n in self.client.replicas)
        )
