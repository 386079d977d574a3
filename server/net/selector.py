"""Which sockets the event loop hears of in one turn: all of our own, and a few clients."""

import asyncio
import selectors
from collections import ChainMap, deque
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

# Each may bring a frame, or an end with all that is done behind it. Of thousands more, for all of
# them have deadlines that run.
CLIENTS_AT_ONCE, TURNS = 8, 250

Key: TypeAlias = selectors.SelectorKey
File: TypeAlias = Any  # a number, or what has one


class Selector(selectors.BaseSelector):
    """Clients wait for their turn here, in the order in which they were found ready.

    All of them may have something in the same moment, as where a proxy dies and takes thousands
    along. If they were heard in one turn, running answers would stand still for so long, with the
    databases and models on which they wait.
    """

    def __init__(self) -> None:
        self._of_others = selectors.DefaultSelector()
        self._of_clients = selectors.DefaultSelector()
        self._door = self._of_clients.fileno()
        self._of_others.register(self._door, selectors.EVENT_READ)
        self.clients: set[int] = set()  # by their numbers
        self._waiting: deque[tuple[Key, int]] = deque()
        maps = [cast(Any, each.get_map()) for each in (self._of_others, self._of_clients)]
        self._map: Mapping[Any, Key] = ChainMap(*maps)

    def add_client(self, number: int) -> None:
        """Until it is forgotten, that is a client's socket; it is not registered yet."""
        self.clients.add(number)

    def forget_client(self, number: int) -> None:
        """It is about to be closed, and the number may be another's then."""
        self.clients.discard(number)

    def register(self, fileobj: File, events: int, data: Any = None) -> Key:
        """See `BaseSelector`."""
        return self._of(fileobj).register(fileobj, events, data)

    def unregister(self, fileobj: File) -> Key:
        """See `BaseSelector`."""
        return self._of(fileobj).unregister(fileobj)

    def modify(self, fileobj: File, events: int, data: Any = None) -> Key:
        """See `BaseSelector`."""
        return self._of(fileobj).modify(fileobj, events, data)

    def get_key(self, fileobj: File) -> Key:
        """See `BaseSelector`."""
        return self._of(fileobj).get_key(fileobj)

    def get_map(self) -> Mapping[Any, Key]:
        """See `BaseSelector`."""
        return self._map

    def select(self, timeout: float | None = None) -> list[tuple[Key, int]]:
        """See `BaseSelector`."""
        found = self._of_others.select(0 if self._waiting else timeout)
        ready = [each for each in found if each[0].fd != self._door]
        if not self._waiting and len(ready) < len(found):
            self._waiting.extend(self._of_clients.select(0))
        known = self._of_clients.get_map()
        waiting = len(self._waiting)
        for _ in range(min(waiting, max(CLIENTS_AT_ONCE, waiting // TURNS))):
            key, events = self._waiting.popleft()
            if known.get(key.fd) is key:  # else that was before a change: it is found again
                ready.append((key, events))
        return ready

    def close(self) -> None:
        """See `BaseSelector`."""
        self._of_others.close()
        self._of_clients.close()

    def _of(self, file: File) -> selectors.BaseSelector:
        return self._of_clients if file in self.clients else self._of_others


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, with such a selector."""

    def __init__(self) -> None:
        self.selector = Selector()
        super().__init__(self.selector)


def number_of(transport: asyncio.BaseTransport) -> int:
    """By which the system knows a transport's socket, until that is closed."""
    number: int = transport.get_extra_info("socket").fileno()
    return number
