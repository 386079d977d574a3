"""Whether the process serves, whether it can do its work, and what it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from server.http.bodies import JsonResponse
from server.http.options import Options
from server.telemetry.logs import get_logger

# Asks one dependency whether it works; whatever it raises means no.
Probe: TypeAlias = Callable[[], Awaitable[object]]

OK, FAILED, SLOW = "ok", "failed", "slow"
_log = get_logger()


class About(Struct, frozen=True, kw_only=True):
    """What this process is, for as long as it lives."""

    name: str = "parley"
    version: str
    instance: str
    schema_version: int


class Load(Struct, frozen=True, kw_only=True):
    """What it carries just now."""

    sockets: int
    answers: int
    loop_held: int = 0  # how often the event loop was, since the start
    loop_longest_ms: int = 0  # and by how much it was late at most


class Readiness:
    """What the dependencies say, asked so seldom that a flood of questions costs nothing."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probes = dict(probes)
        self._options = options
        self._clock = clock
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._found: dict[str, str] = {}
        self._looked_at = float("-inf")

    async def look(self) -> Mapping[str, str]:
        """Each dependency's state by its name; within `probe_s`, whatever they do."""
        if self._clock() - self._looked_at >= self._options.probe_keep_s:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look(), name="readiness")
            # Others wait for the same look, also when this asker goes away.
            await asyncio.shield(self._looking)
        return self._found

    async def _look(self) -> None:
        try:
            for name, probe in self._probes.items():
                # One that hangs is asked again only when it came back, so none are piled up.
                if name not in self._asked:
                    self._asked[name] = asyncio.create_task(_ask(probe), name=f"probe {name}")
            if self._asked:
                await asyncio.wait(self._asked.values(), timeout=self._options.probe_s)
            self._found = {name: self._state(name) for name in self._probes}
            self._looked_at = self._clock()
        finally:
            self._looking = None

    def _state(self, name: str) -> str:
        """How the question to this dependency came out; a change is written down."""
        state, failure = SLOW, None
        if self._asked[name].done():
            asked = self._asked.pop(name)
            failure = asyncio.CancelledError() if asked.cancelled() else asked.exception()
            state = OK if failure is None else FAILED
        if state != self._found.get(name, OK):
            _log.warning("a dependency changed", dependency=name, state=state, exc_info=failure)
        return state


class Health:
    """The three questions about the process's health, as endpoints."""

    def __init__(
        self,
        about: About,
        readiness: Readiness,
        *,
        load: Callable[[], Load],
        draining: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._about = about
        self._readiness = readiness
        self._load = load
        self._draining = draining
        self._clock = clock
        self._began = clock()

    async def live(self, _: Request) -> Response:
        """It serves; asks nothing and nobody."""
        return JsonResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        """Whether to send clients here."""
        found, draining = await self._readiness.look(), self._draining()
        ready = not draining and all(state == OK for state in found.values())
        body = {"ready": ready, "draining": draining, "dependencies": found}
        return JsonResponse(body, 200 if ready else 503)

    async def about(self, _: Request) -> Response:
        """What it is and what it carries."""
        load, about = self._load(), self._about
        return JsonResponse(
            {
                "name": about.name,
                "version": about.version,
                "instance": about.instance,
                "uptime_s": round(self._clock() - self._began),
                "schema_version": about.schema_version,
                "sockets": load.sockets,
                "answers": load.answers,
                "loop_held": load.loop_held,
                "loop_longest_ms": load.loop_longest_ms,
                "draining": self._draining(),
            }
        )


async def _ask(probe: Probe) -> None:
    await probe()
