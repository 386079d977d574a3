"""All that sockets lean on, in one process and without a network: a client is what a test says.

Rows are real, the log is in memory, answers are made by the scripted model. Time stands until a
test moves `now`, but for what waits for a model or the store.
"""

import asyncio
from typing import Any, TypeVar

import msgspec

from protocol.codec import JSON, Codec
from protocol.codes import CloseCode
from protocol.frames.from_server import Chunk, Complete, Error, ServerFrame
from protocol.frames.objects import Server
from protocol.session import Timing
from protocol.text import utf16_length
from server.auth.doors import Doors
from server.auth.keys import OneKey
from server.auth.options import Options as AuthOptions
from server.auth.revocations import Revocations
from server.auth.tickets import Tickets
from server.auth.tokens import Tokens
from server.background import Background
from server.conversations import Conversations
from server.generation.supervisor import Supervisor
from server.http.errors import answer
from server.limits.admission import Admission, Place
from server.limits.options import Options as Limits
from server.limits.rates import Rates
from server.limits.shares import Shares
from server.providers.base import Model
from server.providers.catalogue import Catalogue
from server.providers.offline import Offline
from server.providers.scripted import Scripted
from server.sessions.registry import Registry
from server.sessions.seating import Seating
from server.streams.hub import Hub
from server.telemetry.lines import AnswerEnded, ConnectionClosed
from server.ws.connection import Connection
from server.ws.credentials import Credentials
from server.ws.options import Options
from server.ws.parts import Parts
from storage.log import EventLog
from storage.memory.bus import MemoryBus, Switchboard
from storage.memory.log import MemoryLog
from storage.memory.sessions import Hall, MemorySeats
from storage.memory.tickets import MemoryTickets
from storage.sql import Database
from tests.support.rows import World
from tests.support.waiting import until
from tests.support.wire import FakeWire, read

F = TypeVar("F", bound=ServerFrame)

SECRET = b"a secret of no fewer than 32 bytes, for tests"
TENANT = "default"


class Lobby:
    """Parts made of real ones, and the callers that a test opened."""

    def __init__(
        self,
        db: Database,
        *,
        limits: Limits | None = None,
        options: Options | None = None,
        log: EventLog | None = None,
        switchboard: Switchboard | None = None,
        hall: Hall | None = None,
    ) -> None:
        self.now = 1000.0  # monotonic
        self.wall = 1_790_000_000.0
        self.world = World(db, TENANT)
        self.log = log or MemoryLog()
        self.faults: list[tuple[str | None, BaseException]] = []
        self.lines: list[ConnectionClosed] = []
        self.ended: list[AnswerEnded] = []
        self.callers: list[Caller] = []
        self.draining = False
        store = self.store = self.world.store
        self.background = Background(self._fault)
        bus = MemoryBus(switchboard)
        self.hub = Hub(self.log, store.internal, bus, self._fault)
        self.looks = 0
        self.registry = Registry(lambda: self.now, bus, self._look)
        self.seating = Seating(MemorySeats("test", hall))
        models = [Model("offline", Offline()), Model("scripted", Scripted(), calls_tools=True)]
        catalogue = Catalogue(models, "scripted")
        self.supervisor = Supervisor(
            store=store,
            hub=self.hub,
            event_log=self.log,
            bus=bus,
            catalogue=catalogue,
            ids=self.world.ids,
            instance="test",
            report=self.ended.append,
            proof_of_death=True,
        )
        limits = limits or Limits()
        rates = Rates(limits, clock=lambda: self.now)
        self.conversations = Conversations(
            store=store,
            hub=self.hub,
            supervisor=self.supervisor,
            catalogue=catalogue,
            rates=rates,
            announce=self.registry.tell,
        )
        auth = AuthOptions()
        self.tokens = Tokens(
            OneKey.of_secret(SECRET),
            auth,
            issuer="issuer",
            audience="parley",
            secret=SECRET,
            development=True,
            clock=lambda: self.wall,
        )
        kept = MemoryTickets(lambda: round(self.now * 1000))
        self.tickets = Tickets(kept, auth, wall_clock=lambda: self.wall)
        self.revocations = Revocations(
            store.internal.accounts, auth, clock=lambda: round(self.wall * 1000)
        )
        self.parts = Parts(
            server=Server(name="parley", version="0", instance="test"),
            features=("approvals", "client_tools"),
            options=options or Options(),
            timing=Timing(),
            doors=Doors(development=True),
            tokens=self.tokens,
            tickets=self.tickets,
            revocations=self.revocations,
            admission=Admission(limits, clock=lambda: self.now),
            rates=rates,
            fetches=Shares(limits.requests_at_once, 64),
            commands=Shares(limits.requests_at_once, 64),
            limits=limits,
            registry=self.registry,
            seating=self.seating,
            conversations=self.conversations,
            hub=self.hub,
            store=store,
            deny=answer,
            spawn=self.background.spawn,
            report=self.lines.append,
            fault=self._fault,
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )

    def _look(self) -> None:
        self.looks += 1

    def _fault(self, where: str | None, error: BaseException) -> None:
        self.faults.append((where, error))

    async def open(self) -> "Lobby":
        """Begin."""
        self.background.loop("appends", self.hub.run())
        self.background.loop("seats", self.seating.run())
        await self.supervisor.recover()
        return self

    async def close(self) -> None:
        """End, and leave nothing behind: no follower, no answer, no fault."""
        for caller in self.callers:
            await caller.leave()
        await self.quiet()
        followed = [key for key, each in self.hub._streams.items() if each.channel is not None]
        await self.supervisor.drain(0)
        await self.background.close()
        assert followed == []
        held = len(self.registry), len(self.seating), self.parts.admission.sockets
        assert held == (0, 0, 0)
        assert self.faults == []

    async def quiet(self) -> None:
        """Wait until nothing is under way for any socket."""
        await until(lambda: not self.background._tasks)

    def call(self, codec: Codec = JSON, **credentials: str | None) -> "Caller":
        """A socket, upgraded; `origin`, `bearer` and `ticket` are what it was opened with."""
        caller = Caller(self, codec, f"s_{len(self.callers)}", credentials)
        self.callers.append(caller)
        return caller

    def token(self, user: str = "ann", **claims: Any) -> str:
        """A user's token, good for ten minutes."""
        return self.tokens.mint(user=user, **{"ttl_s": 600, **claims})

    async def greeted(self, user: str = "ann", codec: Codec = JSON, **hello: Any) -> "Caller":
        """A socket of that person."""
        caller = self.call(codec)
        caller.say("hello", token=self.token(user), **hello)
        await until(lambda: caller.of("welcome"))
        return caller


class Wire(FakeWire):
    """A wire whose peer answers a close at once."""

    def __init__(self, inbox: "asyncio.Queue[dict[str, Any]]") -> None:
        super().__init__()
        self._inbox = inbox

    def close(self, code: int) -> None:
        """And the peer does, too."""
        if self.code is None:
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": code})
        super().close(code)


class Caller:
    """A socket and who holds its other end."""

    def __init__(
        self, lobby: Lobby, codec: Codec, name: str, credentials: dict[str, str | None]
    ) -> None:
        self.lobby = lobby
        self.codec = codec
        self.name = name
        self._read: list[ServerFrame] = []
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.wire = Wire(self._inbox)
        place = lobby.parts.admission.enter("127.0.0.1")
        assert isinstance(place, Place)
        given: dict[str, str | None] = {"origin": None, "bearer": None, "ticket": None}
        self.connection = Connection(
            lobby.parts,
            self.wire,
            codec,
            name=name,
            place=place,
            credentials=Credentials(lobby.parts, name, **{**given, **credentials}),
        )
        self._place = place
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self.connection.run(self._inbox.get)
        finally:
            self.lobby.parts.admission.leave(self._place)

    # ── what it says ─────────────────────────────────────────────────────────────────────────────

    def say(self, type: str, **fields: Any) -> None:
        """Send a frame."""
        frame = {"type": type, **fields}
        if self.codec.binary:
            self.send(msgspec.msgpack.encode(frame))
        else:
            self.send(msgspec.json.encode(frame).decode())

    def send(self, data: str | bytes) -> None:
        """Send a message."""
        kind = "text" if isinstance(data, str) else "bytes"
        self._inbox.put_nowait({"type": "websocket.receive", kind: data})

    def chat(self, id: str, *, script: dict[str, Any] | None = None, **fields: Any) -> None:
        """A message whose answer is scripted."""
        content = msgspec.json.encode(script or {"tokens": 3, "text": "a"}).decode()
        self.say("chat", **{"id": id, "content": content, **fields})

    def pong(self) -> None:
        """It answers a ping."""
        assert self.wire.on_pong is not None
        self.wire.on_pong()

    async def leave(self, code: int = CloseCode.NORMAL) -> None:
        """Go away."""
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": code})
        await self._running

    # ── what it gets ─────────────────────────────────────────────────────────────────────────────

    @property
    def frames(self) -> list[ServerFrame]:
        """All that came."""
        for framed in self.wire.written[len(self._read) :]:
            frame = read(framed)
            assert isinstance(frame, ServerFrame), frame
            self._read.append(frame)
        return self._read

    def of(self, type: str) -> list[Any]:
        """What came of one type."""
        return [frame for frame in self.frames if _type(frame) == type]

    @property
    def types(self) -> list[str]:
        """The types of all that came."""
        return [_type(frame) for frame in self.frames]

    @property
    def errors(self) -> list[tuple[str, str | None]]:
        """Codes and references of the errors."""
        return [(frame.code.value, frame.ref) for frame in self.frames if isinstance(frame, Error)]

    def text(self, answer: str) -> str:
        """What it was shown of an answer, whose offsets must fit."""
        text = ""
        for frame in self.frames:
            if isinstance(frame, Chunk) and frame.answer == answer:
                assert frame.offset == utf16_length(text)
                text += frame.text
        return text

    async def one(self, type: str, **fields: Any) -> Any:
        """The first frame of that type with these fields, once it is there."""

        def found() -> list[Any]:
            return [f for f in self.of(type) if fields.items() <= _fields(f).items()]

        await until(lambda: found() or self.wire.code is not None)
        assert found(), (type, fields, self.types, self.wire.code)
        return found()[0]

    async def answer_to(self, id: str) -> Any:
        """The `ack`, `ok` or `error` that names it."""
        await until(lambda: [f for f in self.frames if getattr(f, "ref", None) == id])
        return next(f for f in self.frames if getattr(f, "ref", None) == id)

    async def complete(self, answer: str) -> Complete:
        """The answer's end."""
        end = await self.one("complete", answer=answer)
        assert isinstance(end, Complete)
        return end

    async def closed(self) -> int:
        """The code it is closed with."""
        await until(lambda: self.wire.code is not None)
        await self._running
        assert self.wire.code is not None
        return self.wire.code


def _type(frame: ServerFrame) -> str:
    return str(frame.__struct_config__.tag)


def _fields(frame: ServerFrame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in frame.__struct_fields__}
