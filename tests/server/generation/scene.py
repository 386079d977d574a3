"""A whole of real parts to make answers in: rows in SQLite, a log in memory, and a scripted model.

Nothing runs by itself but the hub's appends: a test calls `tick`, `checkpoint`, `sweep` where time
would, and moves `time`. What a test waits for is a condition, looked at in every turn of the loop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from msgspec import Raw

from protocol.codec import Unknown
from protocol.frames.from_server import Chunk, Complete, Logged, Status, Tool
from protocol.types import FinishReason, Position
from server.generation import request
from server.generation.options import Options
from server.generation.request import Request
from server.generation.supervisor import Supervisor
from server.providers.base import Finished, Model, ModelEvent, ModelRequest
from server.providers.catalogue import Catalogue
from server.streams import options as streams
from server.streams.entry import decode
from server.streams.hub import Hub
from server.telemetry.lines import AnswerEnded
from storage.log import Lost, Retention, Slice
from storage.memory.bus import MemoryBus, Switchboard
from storage.memory.log import MemoryLog
from storage.records import Answer, Commit, CommitKind, Message, Sent
from storage.store import Store
from storage.values import Spent
from storage.work import SpentBy
from tests.support.faultylog import FaultyLog
from tests.support.rows import World
from tests.support.waiting import PATIENCE_S, pause, until

T = TypeVar("T")
TURNS = 3  # from what was said to the log
RAW = Raw(b"{}")

# What a puppet does next: says something, waits until it may go on, fails, or does what it is told.
Act: TypeAlias = ModelEvent | asyncio.Event | BaseException | Callable[[], None]


def done(reason: FinishReason | None = FinishReason.STOP, tokens: int = 0) -> Finished:
    """The last event; a prompt costs one token."""
    return Finished(reason=reason, spent=Spent(1, tokens, 0))


class Puppet:
    """A provider that plays one script per call; each character of text is one token."""

    def __init__(self, name: str = "puppet") -> None:
        self.name = name
        self.scripts: list[Sequence[Act]] = []
        self.requests: list[ModelRequest] = []
        self.said: list[str] = []
        self.open = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Play the next script."""
        self.requests.append(request)
        script = self.scripts.pop(0)
        self.open += 1
        try:
            for act in script:
                match act:
                    case asyncio.Event():
                        await act.wait()
                    case BaseException():
                        raise act
                    case str():
                        self.said.append(act)
                        yield act
                    case _ if callable(act):
                        act()
                    case _:
                        yield act
        finally:
            self.open -= 1

    def spent(self, request: ModelRequest, text: str) -> Spent:
        """What a call has cost that was cut after this text."""
        return Spent(1, len(text), 0)


class Time:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time goes by at once, in which everybody else has a turn."""
        self.slept.append(seconds)
        self.now += seconds
        for _ in range(TURNS):
            await asyncio.sleep(0)


class Instance(NamedTuple):
    """A process beside the scene's own."""

    log: FaultyLog
    hub: Hub
    supervisor: Supervisor


class Scene:
    """Answers being made."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.store: Store = world.store  # for the test's own use
        self.given: Store = world.store  # for what is tested
        self.time = Time()
        keeping_all = Retention(entries=0, age_ms=0, idle_ms=0)
        self.real_log = MemoryLog(keeping_all, clock=lambda: round(self.time.now * 1000))
        self.puppet = Puppet()
        self.understudy = Puppet("understudy")
        self.faults: list[BaseException] = []
        self.lines: list[AnswerEnded] = []
        self.settings = settings
        self.proof_of_death = True
        self.fallbacks: tuple[str, ...] = ()
        self.context_tokens = 100_000
        self.gather_ms = 0.0
        self._appending: list[asyncio.Task[None]] = []
        self.supervisors: list[Supervisor] = []
        self.switchboard = Switchboard()

    async def open(self) -> "Scene":
        """Begin."""
        self.log = FaultyLog(self.real_log)
        self.hub = self._hub(self.log)
        self.supervisor = await self.another()
        return self

    def _hub(self, log: FaultyLog) -> Hub:
        hub = Hub(
            log,
            self.given.internal,
            MemoryBus(self.switchboard),
            lambda _, error: self.faults.append(error),
            streams.Options(gather_ms=self.gather_ms),
        )
        self._appending.append(asyncio.create_task(hub.run()))
        return hub

    async def apart(self) -> "Instance":
        """A further process with its own link to the log."""
        other = self.apart_idle()
        await other.supervisor.recover()
        return other

    def apart_idle(self) -> "Instance":
        """One that has not begun to live."""
        log = FaultyLog(self.real_log)
        hub = self._hub(log)
        return Instance(log, hub, self._supervisor(log, hub))

    async def another(self) -> Supervisor:
        """A further process, over the same log and rows."""
        supervisor = self._supervisor(self.log, self.hub)
        await supervisor.recover()
        return supervisor

    def _supervisor(self, log: FaultyLog, hub: Hub) -> Supervisor:
        models = [
            Model(name="puppet", provider=self.puppet, context_tokens=self.context_tokens),
            Model(name="understudy", provider=self.understudy, calls_tools=True),
            Model(name="handy", provider=self.puppet, calls_tools=True),
        ]
        supervisor = Supervisor(
            store=self.given,
            hub=hub,
            event_log=log,
            bus=MemoryBus(self.switchboard),
            catalogue=Catalogue(models, "puppet", self.fallbacks),
            ids=self.world.ids,
            instance="test",
            report=self.lines.append,
            proof_of_death=self.proof_of_death,
            options=Options(**self.settings),
            clock=self.time,
            sleep=self.time.sleep,
            chance=lambda: 0.5,
        )
        self.supervisors.append(supervisor)
        return supervisor

    async def close(self) -> None:
        """Nothing is left behind: no task, no stream of a model, no fault."""
        for supervisor in self.supervisors:
            tasks = list(supervisor._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for appending in self._appending:
            appending.cancel()
        await asyncio.gather(*self._appending, return_exceptions=True)
        assert (self.puppet.open, self.understudy.open) == (0, 0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task.get_name() for task in others if task.get_name().startswith("answer")] == []

    # ── what a test does ─────────────────────────────────────────────────────────────────────────

    def plays(self, *scripts: Sequence[Act]) -> None:
        """What the model does, call by call."""
        self.puppet.scripts.extend(scripts)

    async def send(
        self,
        content: str = "hello",
        *,
        asked: Request | None = None,
        start: bool = True,
        **more: Any,
    ) -> Sent:
        """A message as conversations store and tell it, whose answer is then begun."""
        more = {"request": request.encode(asked or Request()), **more}
        sent = await self.world.send(content, incarnation=self.supervisor.incarnation, **more)
        if sent.created or await self.hub.head(sent.conversation) is None:
            await self.hub.begin(self.world.tenant, sent)
        rows = [
            Commit(number=number, kind=CommitKind.MESSAGE, row=row)
            for number, row in zip(sent.numbers, sent.rows, strict=True)
        ]
        await self.hub.tell(self.world.tenant, sent.conversation, rows)
        if start and sent.run is not None:
            self.supervisor.start(sent.run)
        return sent

    async def stop(self, answer: str, *, wake: bool = True) -> None:
        """A person's stop."""
        stopped = await self.store.sending.stop(self.world.owner, answer)
        if wake and stopped.stopping is not None:
            self.supervisor.wake(stopped.stopping)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition."""
        await until(holds)

    async def idle(self) -> None:
        """Wait until nothing is made any more."""
        await self.until(lambda: not any(one._tasks for one in self.supervisors))

    async def shown(self, conversation: str, text: str) -> None:
        """Wait until this text was told."""
        async with asyncio.timeout(PATIENCE_S):
            while self.text_of(await self.frames(conversation)) != text:
                await pause()

    # ── what came of it ──────────────────────────────────────────────────────────────────────────

    async def frames(self, conversation: str) -> list[Logged | Unknown]:
        """All that the log tells."""
        head = (await self.real_log.heads([conversation]))[conversation]
        if head is None:
            return []
        page = await self.real_log.read(conversation, Position(head.epoch, 0), 100_000)
        if isinstance(page, Lost):  # trimmed
            page = await self.real_log.read(
                conversation, Position(head.epoch, page.oldest), 100_000
            )
        assert isinstance(page, Slice), page
        return [decode(entry.body, entry.seq) for entry in page.entries]

    @staticmethod
    def text_of(frames: Sequence[Logged | Unknown]) -> str:
        """The text that chunks told, whose offsets must fit."""
        text = ""
        for frame in frames:
            if isinstance(frame, Chunk):
                assert frame.offset == len(text.encode("utf-16-le")) // 2
                text += frame.text
        return text

    async def ends(self, conversation: str) -> list[tuple[str, str]]:
        """The answers whose end was told, and their finish reasons, in that order."""
        frames = await self.frames(conversation)
        return [(one.answer, one.finish_reason) for one in frames if isinstance(one, Complete)]

    async def complete(self, sent: Sent) -> Complete:
        """The one terminal frame, which is the answer's last; what was told is what is stored."""
        frames = await self.frames(sent.conversation)
        own = [frame for frame in frames if getattr(frame, "answer", None) == sent.answer]
        ends = [frame for frame in own if isinstance(frame, Complete)]
        assert len(ends) == 1, own
        assert own[-1] is ends[0]
        text = self.text_of(own)
        assert (await self.message(sent)).content == text
        assert ends[0].length == len(text.encode("utf-16-le")) // 2
        return ends[0]

    async def answer(self, sent: Sent) -> Answer:
        """Its row."""
        return await self.world.answer(sent.answer)

    async def message(self, sent: Sent) -> Message:
        """The answer as a message."""
        return await self.store.history.message(self.world.owner, sent.answer)

    async def states(self, sent: Sent) -> list[str]:
        """The states that were told, in order."""
        frames = await self.frames(sent.conversation)
        return [
            frame.state.value
            for frame in frames
            if isinstance(frame, Status) and frame.answer == sent.answer
        ]

    async def tools(self, sent: Sent) -> list[tuple[str, str | None]]:
        """What was told of tool calls: their states, and results."""
        frames = await self.frames(sent.conversation)
        return [(frame.state.value, frame.result) for frame in frames if isinstance(frame, Tool)]

    async def spent(self) -> Spent:
        """All that was paid for."""
        total: SpentBy = await self.store.usage.spent(self.world.owner, since=0)
        return total.spent
