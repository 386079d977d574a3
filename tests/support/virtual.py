"""An event loop whose time passes only by being waited for, and then at once."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class _Patience(selectors.DefaultSelector):
    """Nothing ever arrives; waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing is going to happen")
        self.time += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Without sockets and threads, which know no virtual time."""

    def __init__(self) -> None:
        self._patience = _Patience()
        self.timers = 0
        super().__init__(self._patience)

    def time(self) -> float:
        """The virtual time."""
        return self._patience.time

    def idle(self, seconds: float) -> None:
        """Let time go by with nothing done, as when something holds the loop."""
        self._patience.time += seconds

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Counted."""
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


def virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Run it in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def running() -> VirtualLoop:
    """The loop that runs this."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
