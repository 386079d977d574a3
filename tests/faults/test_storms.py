"""Thousands who come at once, as when a proxy has dropped them: they are let in at a rate."""

import asyncio
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import LONG
from tests.faults.house import House, house_in
from tests.faults.plans import script
from tests.support import tally
from tests.support.rawsocket import RawSocket, error_of, request

pytestmark = [pytest.mark.alone, pytest.mark.row(26)]

CLIENTS = 1500 if LONG else 600
PER_S = 80  # far less than the clients of a busy machine try
STREAMING = 10  # fewer than may come in at once
BACK_S = 30.0
AT_ONCE = 200  # handshakes under way, so that a test needs no more files than it may open


class Storm:
    """Clients without jitter: each tries again in the second that it is told, until it is in."""

    def __init__(self, house: House) -> None:
        self.statuses = Counter[int]()
        self.told = Counter[int]()
        self._port = urlsplit(house.url).port or 0
        self._places = asyncio.Semaphore(AT_ONCE)

    async def rage(self) -> None:
        """Until all were in."""
        async with asyncio.timeout(BACK_S), asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._come())

    async def _come(self) -> None:
        wait = await self._try()
        if wait:
            await asyncio.sleep(wait)
            await self._come()

    async def _try(self) -> int:
        """In how many seconds to come back; 0: it was in."""
        async with self._places, await RawSocket.connect(self._port) as raw:
            await raw.send(request())
            response = await raw.response()
        self.statuses[response.status] += 1
        if response.status == 101:
            return 0
        assert error_of(response) == (503, "overloaded")
        wait = int(response.headers["retry-after"])
        assert wait >= 1
        self.told[wait] += 1
        return wait


async def test_a_storm_is_let_in_at_a_rate_and_whoever_is_in_reads_on(tmp_path: Path) -> None:
    """All are in within half a minute; the refused are told different seconds."""
    async with house_in(tmp_path, PARLEY_LIMITS_HANDSHAKES_PER_S=str(PER_S)) as house:
        await house.start()
        devices = [await house.connected(f"u{number}") for number in range(STREAMING)]
        answer = {"type": "chat", "content": script(" word", 400, every_ms=10)}
        for device in devices:
            await device.ask(answer)
        storm = Storm(house)
        await storm.rage()
        for device in devices:
            await house.at_rest(device)
            assert device.life == 1
            assert device.closes == []
        tally.count(CLIENTS)
        assert storm.statuses.keys() == {101, 503}
        assert storm.statuses[101] == CLIENTS
        assert len(storm.told) > 1
        await house.check_reload()
        assert await house.stop() == 0
        assert house.judged() == []
