"""Tasks that nobody awaits, with one owner: nothing is lost without a word, nothing outlives it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Fault = Callable[[str, BaseException], None]


class Background:
    """Owns tasks until `close`; what fails in one is told to `fault` by the task's name."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: dict[str, asyncio.Task[None]] = {}

    @property
    def fallen(self) -> tuple[str, ...]:
        """Loops that ended though nobody ended them."""
        return tuple(name for name, task in self._loops.items() if task.done())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this once."""
        task = asyncio.create_task(work, name=getattr(work, "__qualname__", "work"))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def loop(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the end."""
        task = asyncio.create_task(work, name=name)
        self._loops[name] = task
        task.add_done_callback(self._ended)

    def every(self, name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        """Do this again and again, so long after it was done; a failure is told, and no end."""
        self.loop(name, self._repeat(name, seconds, work))

    async def finish(self, seconds: float) -> None:
        """Wait for what was spawned, but not longer."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """End everything, and wait for it."""
        tasks = [*self._tasks, *self._loops.values()]
        self._loops.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(
        self, name: str, seconds: float, work: Callable[[], Awaitable[object]]
    ) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the root of what must not end
                self._fault(name, error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault(task.get_name(), error)
