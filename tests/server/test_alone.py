"""That no two processes serve one database, also after the lock for that was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from server.alone import GHOST_S, Alone, Displaced, alone_by
from storage.errors import Busy, Unavailable, Unsupported
from tests.support.waiting import until


class Locks:
    """A database's locks: what becomes of each try, and the loss of the one that is held."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.lost = asyncio.Event()
        self.held = 0

    @asynccontextmanager
    async def hold_lock(self, name: str) -> AsyncIterator[asyncio.Event]:
        """The next outcome, the last one for ever."""
        assert name == "serving"
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome
        self.held += 1
        self.lost = asyncio.Event()
        try:
            yield self.lost
        finally:
            self.held -= 1


class Time:
    """Passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """At once."""
        self.now += seconds
        await asyncio.sleep(0)


async def kept(locks: Locks, time: Time) -> tuple[Alone, "asyncio.Task[None]"]:
    """A lock that is held and looked after."""
    held = AsyncExitStack()
    lost = await held.enter_async_context(locks.hold_lock("serving"))
    alone = Alone(locks.hold_lock, held, lost, clock=time, sleep=time.sleep)
    return alone, asyncio.create_task(alone.keep())


async def test_a_lock_that_was_lost_is_taken_again() -> None:
    """However long the database is away; until then nobody should come here."""
    away = [Unavailable("away")] * 100
    locks = Locks(None, *away, Busy("it", "a ghost"), None)
    alone, keeping = await kept(locks, Time())
    await alone.ask()
    locks.lost.set()
    with pytest.raises(RuntimeError, match="lost"):
        await alone.ask()
    await until(lambda: len(locks.outcomes) == 1 and locks.held)
    await alone.ask()
    assert not alone.displaced.is_set()
    assert locks.held == 1
    keeping.cancel()


async def test_who_finds_another_in_its_place_gives_way() -> None:
    """Not at once: what holds the lock may be its own session, whose end is not noticed yet."""
    locks, time = Locks(None, Unavailable("away"), Busy("it", "process 7")), Time()
    alone, keeping = await kept(locks, time)
    locks.lost.set()
    with pytest.raises(Displaced, match="another process"):
        await keeping
    assert alone.displaced.is_set()
    assert time.now >= GHOST_S


async def test_behind_a_pooler_there_is_no_lock() -> None:
    """And where another holds it there is no serving."""
    pooled = Locks(Unsupported("a lock", "pooler"))
    async with alone_by(pooled.hold_lock) as alone:
        assert alone is None
    taken = Locks(Busy("it", "process 7"))
    with pytest.raises(Busy):
        async with alone_by(taken.hold_lock):
            pass
