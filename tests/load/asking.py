"""Readers: sockets that ask for scripted answers, one after another, and count what they get."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import msgspec

from protocol.codec import JSON, Codec
from tests.load.peer import Heard, Peer, greeted
from tests.load.subjects import Subject

TOKEN = " token"

_ids = count(1)


class Tally:
    """What all readers of a measure got together."""

    def __init__(self) -> None:
        self.tokens = 0
        self.frames = 0
        self.answers = 0
        self.errors: Counter[str] = Counter()


class Reader:
    """One socket with one answer at a time, in a new conversation every few turns."""

    def __init__(
        self, peer: Peer, tally: Tally, content: str, *, turns: int = 4, model: str = "scripted"
    ) -> None:
        self.on_token: Callable[[Heard], None] | None = None
        self.on_ack: Callable[[Heard], None] | None = None
        self.on_complete: Callable[[Heard], None] = self._go_on
        self._peer = peer
        self._tally = tally
        self._content = content
        self._model = model
        self._turns = turns
        self._turn = 0
        self._conversation: msgspec.Raw | None = None
        peer.on_frame, peer.on_lost = self._heard, self._lost

    def ask(self) -> str:
        """Send the message; the id it went by."""
        id = f"q{next(_ids)}"
        chat = {"type": "chat", "id": id, "content": self._content, "model": self._model}
        if self._conversation is not None:
            chat["conversation"] = self._name()
        self._peer.send(chat)
        return id

    def leave(self) -> None:
        """No more of this conversation."""
        if self._conversation is not None:
            self._peer.send({"type": "detach", "conversation": self._name()})
        self._conversation = None

    def go(self) -> None:
        """An end of the socket that is no error."""
        self._peer.on_lost = None
        self._peer.close()

    def _name(self) -> str:
        assert self._conversation is not None
        decode = msgspec.msgpack.decode if self._peer.codec.binary else msgspec.json.decode
        return str(decode(self._conversation))

    def _heard(self, payload: bytes) -> None:
        heard = self._peer.read(payload)
        self._tally.frames += 1
        match heard.type:
            case "chunk":
                self._tally.tokens += len(heard.text) // len(TOKEN)
                if self.on_token is not None:
                    self.on_token(heard)
            case "ack":
                self._conversation = msgspec.Raw(bytes(heard.conversation))
                if self.on_ack is not None:
                    self.on_ack(heard)
            case "complete":
                self._tally.answers += 1
                if heard.outcome != "complete":
                    self._tally.errors[str(heard.outcome)] += 1
                self.on_complete(heard)
            case "error":
                self._tally.errors[str(heard.code)] += 1
                pause = (heard.retry_after_ms or 100) / 1000
                asyncio.get_running_loop().call_later(pause, self.ask)

    def _go_on(self, _: Heard) -> None:
        self._turn += 1
        if self._turn % self._turns == 0:
            self.leave()
        self.ask()

    def _lost(self) -> None:
        self._tally.errors["lost"] += 1


async def readers(
    subject: Subject, content: str, *, sockets: int, codec: Codec = JSON
) -> tuple[list[Reader], Tally]:
    """So many sockets, each of a user of its own, ready to ask."""
    tally = Tally()
    peers = await all_greeted(subject, [f"u{n}" for n in range(sockets)], codec)
    return [Reader(peer, tally, content) for peer in peers], tally


async def all_greeted(
    subject: Subject,
    users: Sequence[str],
    codec: Codec = JSON,
    *,
    attach: Sequence[str] | None = None,
    at_once: int = 50,
) -> list[Peer]:
    """A socket per user; some at a time."""
    gate = asyncio.Semaphore(at_once)

    async def enter(number: int) -> Peer:
        async with gate:
            return await greeted(
                subject.url,
                codec,
                subject.token(users[number]),
                attach=None if attach is None else attach[number],
            )

    return list(await asyncio.gather(*(enter(number) for number in range(len(users)))))


class Window:
    """A stretch of time: how long, and how much of the processor each side used in it."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._began = time.perf_counter(), subject.cpu_s(), time.process_time()
        self.wall_s = self.server_s = self.generator_s = 0.0

    def end(self) -> "Window":
        """From here on nothing counts."""
        wall, server, generator = self._began
        self.wall_s = time.perf_counter() - wall
        self.server_s = self._subject.cpu_s() - server
        self.generator_s = time.process_time() - generator
        return self


async def rest(seconds: float) -> None:
    """Let the load run; a measure has no other event to wait for than the clock."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()
