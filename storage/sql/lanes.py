"""Lanes: tasks that run units of work, each unit to its end.

The caller awaits a future, so leaving it never cuts a unit that has begun; one that has not is
skipped. Both the number of waiting units and their wait are bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

from storage.errors import Overloaded, Unavailable

T = TypeVar("T")
Held = TypeVar("Held")

_current: ContextVar["Unit[Any] | None"] = ContextVar("unit of work", default=None)


def under_way() -> float:
    """How many seconds ago the unit that runs here was handed in."""
    unit = _current.get()
    return unit.age if unit is not None else 0.0


class Lanes(Generic[Held]):
    """`count` tasks that take units from one queue in order; each holds a `hold()` of its own."""

    def __init__(
        self,
        hold: Callable[[], AbstractAsyncContextManager[Held]],
        *,
        count: int,
        waiting: int,
        turn: float,
    ) -> None:
        self._hold = hold
        self._most = waiting
        self._turn = turn
        # Bounded in run(), so that the end can always be put in.
        self._queue: asyncio.Queue[Unit[Held] | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.count = count
        self.busy = 0

    async def open(self) -> None:
        """Starts the lanes; an error of `hold()` is raised here and leaves none behind."""
        opened = [asyncio.get_running_loop().create_future() for _ in range(self.count)]
        self._tasks = [asyncio.create_task(self._lane(future)) for future in opened]
        try:
            await asyncio.gather(*opened)
        except BaseException:
            await self.close()
            raise

    async def run(self, work: Callable[[Held], Awaitable[T]]) -> T:
        """What `work` returns or raises, once it had its turn."""
        outer = _current.get()
        if outer is not None and outer.running:
            # It would wait for a lane while it holds one: with all lanes doing so, for ever.
            raise RuntimeError("a unit of work may not open another; use its own connection")
        if self._closed:
            raise Unavailable("the database is closed")
        if self.waiting >= self._most:
            raise Overloaded("too many units of work are waiting")
        unit = Unit(work)
        self._queue.put_nowait(unit)
        timer = asyncio.get_running_loop().call_later(self._turn, unit.refuse)
        try:
            result: T = await unit.result
        finally:
            timer.cancel()
        return result

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    async def close(self) -> None:
        """Ends the lanes once each has finished its unit; the units that wait are refused."""
        self._closed = True
        while not self._queue.empty():
            unit = self._queue.get_nowait()
            if unit is not None and not unit.result.done():
                unit.result.set_exception(Unavailable("the database was closed"))
        for _ in self._tasks:
            self._queue.put_nowait(None)
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def _lane(self, opened: asyncio.Future[None]) -> None:
        try:
            async with self._hold() as held:
                opened.set_result(None)
                while (unit := await self._queue.get()) is not None:
                    self.busy += 1
                    await self._serve(held, unit)
                    self.busy -= 1
        except Exception as error:  # whoever opens or closes the lanes meets it
            if opened.done():
                raise
            opened.set_exception(error)

    async def _serve(self, held: Held, unit: "Unit[Held]") -> None:
        """Run a unit; who can run several at once takes further ones by `_more`."""
        await unit.run(held)

    def _more(self, most: int) -> "list[Unit[Held]]":
        """Units that wait behind the one being served, in order."""
        units: list[Unit[Held]] = []
        while len(units) < most and not self._queue.empty():
            unit = self._queue.get_nowait()
            if unit is None:  # the end, which comes after them
                self._queue.put_nowait(None)
                break
            units.append(unit)
        return units


class Unit(Generic[Held]):
    """A unit of work between being handed in and its caller's hearing of it."""

    def __init__(self, work: Callable[[Held], Awaitable[Any]]) -> None:
        self.work = work
        self.context = copy_context()
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.running = False
        self._handed_in = self.result.get_loop().time()

    @property
    def age(self) -> float:
        """Seconds since it was handed in."""
        return self.result.get_loop().time() - self._handed_in

    def refuse(self) -> None:
        """Its turn did not come in time."""
        if not self.running and not self.result.done():
            self.result.set_exception(Overloaded("no connection became free in time"))

    def begin(self) -> bool:
        """Its turn came; False if the caller has left or was refused."""
        if self.result.done():
            return False
        self.running = True
        self.context.run(_current.set, self)
        return True

    def end(self, outcome: Callable[[], Any]) -> None:
        """What `outcome` returns or raises is the caller's, whatever it is: the lane goes on."""
        self.running = False
        try:
            value = outcome()
        except BaseException as error:  # noqa: BLE001 - see above
            if not self.result.done():
                self.result.set_exception(error)
        else:
            if not self.result.done():
                self.result.set_result(value)

    async def run(self, held: Held) -> None:
        """Begin and end it as a task of this loop, which carries the caller's context."""
        if not self.begin():
            return
        task = asyncio.create_task(self._as_coroutine(held), context=self.context)
        try:
            await task
        except asyncio.CancelledError:
            self.running = False
            self.result.cancel()
            if (lane := asyncio.current_task()) is not None and lane.cancelling():
                raise  # the loop is ending
            return
        except BaseException:  # noqa: BLE001, S110 - the caller's: it must not end the lane
            pass
        self.end(task.result)

    async def _as_coroutine(self, held: Held) -> Any:
        return await self.work(held)
