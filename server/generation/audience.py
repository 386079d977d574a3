"""Whether anybody follows what is made here: an answer that nobody has long watched may be stopped.

Whoever left may come back, so by default answers go on for ever. A log that is out of reach tells
nothing, and nobody is stopped for that.
"""

import time
from collections.abc import Awaitable, Callable, Collection

from server.telemetry.logs import get_logger
from storage.errors import NotFound, StorageError, Unavailable
from storage.log import EventLog
from storage.records import Answer
from storage.values import Owner

LOOKS = 4  # in the time for which an answer may go unwatched
LOOKED_S = 3.0  # at most
_log = get_logger()


class Audience:
    """Of all answers that are being made here; parked and queued ones are none of them."""

    def __init__(
        self,
        log: EventLog,
        running: Callable[[], Collection[Answer]],
        stop: Callable[[Owner, str], Awaitable[None]],
        *,
        unwatched_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stop` does what it does when the owner asks for it."""
        self._event_log = log
        self._running = running
        self._stop = stop
        self._unwatched_s = unwatched_s
        self._clock = clock
        self._alone_since: dict[str, float] = {}

    @property
    def every_s(self) -> float:
        """How often to look."""
        return min(LOOKED_S, self._unwatched_s / LOOKS)

    async def look(self) -> None:
        """Stop what nobody has followed for too long, on any instance."""
        running = self._running()
        watched = await self._watched({answer.conversation for answer in running})
        if watched is None:
            self._alone_since.clear()
            return
        now, before = self._clock(), self._alone_since
        self._alone_since = {
            answer.id: before.get(answer.id, now)
            for answer in running
            if answer.conversation not in watched
        }
        for answer in running:
            since = self._alone_since.get(answer.id)
            if since is not None and now - since >= self._unwatched_s:
                await self._leave_off(answer)

    async def _watched(self, conversations: Collection[str]) -> Collection[str] | None:
        """Those of them that somebody follows; None: nobody can say."""
        if not conversations:
            return ()
        try:
            watched = await self._event_log.watched(conversations)
        except Unavailable:
            return None
        return watched if self._event_log.reachable else None

    async def _leave_off(self, answer: Answer) -> None:
        if answer.id not in {each.id for each in self._running()}:
            return  # it ended or was parked while others were stopped
        try:
            await self._stop(Owner(answer.tenant, answer.user), answer.id)
        except NotFound:  # deleted meanwhile, and stopped with that
            return
        except StorageError as error:
            _log.warning("an answer without watchers goes on", answer=answer.id, why=str(error))
            return
        _log.info("an answer was stopped, for nobody watched it", answer=answer.id)
