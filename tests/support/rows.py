"""A store of rows with a clock that tests set, and short words for what they do to it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, TypeVar

from msgspec import Raw, structs

from protocol.types import FinishReason, OnBusy, Outcome
from storage.ids import Ids, Kind
from storage.records import Answer, Checkpoint, Ended, Ending, Held, Send, Sent, Tail
from storage.sql import Connection, Database, Load, Row, Value
from storage.sql.store import SqlStore
from storage.values import Once, Owner

T = TypeVar("T")
REQUEST = Raw(b'{"model":"offline"}')
DONE = Ending(outcome=Outcome.COMPLETE, finish_reason=FinishReason.STOP)


class Clock:
    """The database's time, in milliseconds; it stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds


class ClockedDatabase(Database):
    """A database whose time is the clock's; everything else is the real one's."""

    def __init__(self, real: Database, clock: Clock) -> None:
        self.real = real
        self.dialect = real.dialect
        self.version = real.version
        self._time = clock
        self.statements: list[str] = []
        self.asked = 0  # units of work
        self.ran = 0  # more than asked for: some were repeated, after a deadlock perhaps
        self.began = asyncio.Event()  # set whenever a unit begins, with its time
        self.clock = "never read: each unit gets the time it begins at"
        self._loop = asyncio.get_running_loop()

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self.real.read(self._clocked(work))

    async def write(self, work: Callable[[Connection], Awaitable[T]], *, durable: bool = True) -> T:
        return await self.real.write(self._clocked(work), durable=durable)

    def hold_lock(self, name: str) -> AbstractAsyncContextManager[asyncio.Event]:
        return self.real.hold_lock(name)

    def load(self) -> Load:
        return self.real.load()

    async def close(self) -> None:
        await self.real.close()

    def _clocked(
        self, work: Callable[[Connection], Awaitable[T]]
    ) -> Callable[[Connection], Awaitable[T]]:
        self.asked += 1

        async def clocked(c: Connection) -> T:
            self.ran += 1
            c.clock = f"CAST({self._time.now} AS BIGINT)"
            self._loop.call_soon_threadsafe(self.began.set)  # SQLite's units run in threads
            self._note(c)
            return await work(c)

        return clocked

    def _note(self, c: Connection) -> None:
        every = c.all

        async def noted(sql: str, **binds: Value) -> list[Row]:
            self.statements.append(sql)
            return await every(sql, **binds)

        c.all = noted  # type: ignore[method-assign] # every statement but `many` comes this way


class World:
    """A store, its clock, a person, and two who must see nothing of that person's."""

    def __init__(self, db: Database, tenant: str) -> None:
        self.clock = Clock()
        self.db = ClockedDatabase(db, self.clock)
        self.ids = Ids()
        self.store = SqlStore(self.db, self.ids)
        self.tenant = tenant
        self.owner = Owner(tenant, "ann")
        self.neighbour = Owner(tenant, "bob")
        self.foreigner = Owner(f"{tenant}-other", "ann")
        self._numbers = count(1)

    def once(self, body: str = "body") -> Once:
        """An id nobody used."""
        return Once(f"id-{next(self._numbers)}", body)

    def ask(self, content: str = "hello", **fields: Any) -> Send:
        """A message with an id nobody used."""
        ask = Send(once=self.once(), request=REQUEST, max_queued=3, content=content)
        return structs.replace(ask, **fields)

    async def send(self, content: str = "hello", **fields: Any) -> Sent:
        """A message to a new conversation, unless one is named."""
        return await self.store.sending.send(self.owner, self.ask(content, **fields))

    async def incarnation(self) -> str:
        """A process that lives from now on."""
        incarnation = self.ids(Kind.INCARNATION)
        await self.store.internal.ownership.register(incarnation, "test")
        return incarnation

    async def running(self, content: str = "hello", **fields: Any) -> tuple[Sent, Held]:
        """A message whose answer is running, in the hands of a new incarnation."""
        sent = await self.send(content, incarnation=await self.incarnation(), **fields)
        assert sent.fence == 1
        return sent, self.held(sent)

    def held(self, sent: Sent) -> Held:
        return Held(self.tenant, sent.conversation, sent.answer, sent.fence)

    async def answer(self, id: str) -> Answer:
        found = await self.store.internal.answers.get(self.tenant, id)
        assert found is not None
        return found

    async def write(self, held: Held, start: int, text: str) -> None:
        """Checkpoint text, which must be accepted."""
        piece = Checkpoint(held=held, start=start, text=text, epoch="e", seq=start + len(text))
        (result,) = await self.store.internal.answers.checkpoint([piece])
        assert result.verdict == "stored", result

    async def end(self, held: Held, text: str = "", how: Ending = DONE) -> Ended:
        """End an answer with this text behind what is stored."""
        stored = (await self.answer(held.answer)).length
        how = structs.replace(how, tail=Tail(stored, text))
        return await self.store.internal.answers.end(held, how)

    async def exchange(self, content: str = "hello", text: str = "hi", **fields: Any) -> Sent:
        """A message and its whole answer."""
        sent, held = await self.running(content, **fields)
        await self.end(held, text)
        return sent

    async def interrupt(self, conversation: str, **fields: Any) -> Sent:
        """A message that stops what the conversation is answering."""
        return await self.send(conversation=conversation, on_busy=OnBusy.INTERRUPT, **fields)

    async def rows(self, sql: str, **binds: str | int) -> list[dict[str, object]]:
        """What a statement of the test's own finds."""
        return [dict(row) for row in await self.db.real.read(lambda c: c.all(sql, **binds))]

    async def run(self, sql: str, **binds: str | int) -> None:
        """Change something behind the store's back."""
        await self.db.real.write(lambda c: c.run(sql, **binds))

    async def numbers(self, conversation: str) -> list[int]:
        """All commit numbers of a conversation."""
        found = await self.rows(
            """
            SELECT number FROM commits
            WHERE tenant = :tenant AND conversation = :c ORDER BY number
            """,
            tenant=self.tenant,
            c=conversation,
        )
        return [int(str(row["number"])) for row in found]
