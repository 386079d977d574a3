"""How many sockets a person has at all instances, as far as that can be known.

Each instance tells the others whom it holds. While they cannot be reached, everybody may have as
many sockets here as anywhere, which `server.limits.admission` counts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

from server.telemetry.logs import get_logger
from storage.errors import StorageError
from storage.ids import wall_clock
from storage.sessions import LEASE_MS, Seats, Session
from storage.values import Owner

KEEP_S = 1.0
PATIENCE_S = 1.0  # how long a newcomer waits for what the others say
# What an instance that died a moment ago held counts for so long; nobody is turned away for that.
LEASE_S = LEASE_MS / 1000 + 2 * KEEP_S
AT_ONCE = 500  # persons in one call

_log = get_logger()


class Seating:
    """The sockets of this instance that are greeted; `run` must be running, and `keep` be called.

    Who comes is told together with all who came while the others were last asked, so ten thousand
    who come back at once make few calls.
    """

    def __init__(
        self,
        seats: Seats,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._seats = seats
        self._sleep = sleep
        self._clock = clock
        self._of: dict[Owner, dict[str, Session]] = {}
        self._owners: dict[str, Owner] = {}
        self._changed: dict[Owner, None] = {}  # whose seats the others do not know
        self._waiting: dict[Owner, list[asyncio.Future[int | None]]] = {}
        self._wake = asyncio.Event()
        self._away = False

    def __len__(self) -> int:
        return len(self._owners)

    async def take(
        self, session: str, owner: Owner, most: int, *, client: str | None = None
    ) -> bool:
        """Whether the person may have this socket, too: no more than `most` at all instances.

        Who came first stays: the newcomer is refused, though of two that come at once through two
        instances it may be both. Who is one too many waits for `LEASE_S` before that is said.
        """
        if self._owners.get(session) == owner:
            return True  # and keeps its place before who came later
        self.leave(session)
        self._of.setdefault(owner, {})[session] = Session(session, self._clock(), client)
        self._owners[session] = owner
        if not await self._crowded(session, owner, most):
            return True
        await self._sleep(LEASE_S)
        if not await self._crowded(session, owner, most):
            return True
        self.leave(session)
        return False

    def leave(self, session: str) -> None:
        """The socket is gone, or somebody else's; said twice it is said once."""
        owner = self._owners.pop(session, None)
        if owner is None:
            return
        del self._of[owner][session]
        if not self._of[owner]:
            del self._of[owner]
        self._tell(owner)

    async def run(self) -> None:
        """Tell what changed until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._away:
                await self._flush()

    async def keep(self) -> None:
        """Each `KEEP_S`: say that this instance lives, and what got lost meanwhile."""
        try:
            whole = await self._seats.keep(len(self))
        except StorageError as error:
            self._miss(error)
            return
        if self._away:
            _log.info("sockets at other instances are counted again")
            self._away = False
        if not whole:
            self._changed.update(dict.fromkeys(self._of))
        if self._changed:
            self._wake.set()

    async def close(self) -> None:
        """Nothing here counts any more."""
        try:
            await self._seats.leave()
        except StorageError as error:  # then the lease ends by itself
            self._miss(error)

    async def _crowded(self, session: str, owner: Owner, most: int) -> bool:
        """Whether it is one too many; not if it has gone meanwhile."""
        elsewhere = await self._elsewhere(owner)
        if elsewhere is None or self._owners.get(session) != owner:
            return False
        before = list(self._of[owner]).index(session)
        return before + 1 + elsewhere > most

    async def _elsewhere(self, owner: Owner) -> int | None:
        """How many others hold, once they can know of those here; None: nobody can say."""
        self._tell(owner)
        if self._away:
            return None
        answer = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, []).append(answer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                found: int | None = await answer
                return found
        except TimeoutError:
            return None

    def _tell(self, owner: Owner) -> None:
        self._changed[owner] = None
        self._wake.set()

    async def _flush(self) -> None:
        """Tell of some, and answer those of them who wait."""
        owners = list(islice(self._changed, AT_ONCE))
        here = {owner: tuple(self._of.get(owner, {}).values()) for owner in owners}
        waiting = {owner: self._waiting.pop(owner, ()) for owner in owners}
        for owner in owners:
            del self._changed[owner]
        counts = None
        try:
            counts = await self._seats.put(here)
        except StorageError as error:
            self._changed.update(dict.fromkeys(owners))
            self._miss(error)
        if self._changed:
            self._wake.set()
        for owner, answers in waiting.items():
            for answer in answers:
                if not answer.done():
                    answer.set_result(None if counts is None else counts[owner])

    def _miss(self, error: StorageError) -> None:
        if not self._away:
            _log.warning("sockets at other instances are not counted", why=str(error))
        self._away = True
