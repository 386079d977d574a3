"""kill -9 at every point and at any time: nothing acknowledged is lost, doubled or hangs.

A run is one device that had a request without its answer when the server was killed.
"""

import asyncio
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from storage.failpoints import PLACES
from tests.conftest import LONG
from tests.faults.device import Cut, Device
from tests.faults.house import House, house_in
from tests.faults.plans import Talk
from tests.support import tally

DEVICES = 24  # per life of the server
SEED = 3  # of what is asked and when it is killed; what meets what is chance
ROUNDS = 8 if LONG else 1  # of all failpoints, and two kills at any time each
LATEST_S = 0.5  # after a life began, of kills at any time
PATIENCE_S = 100.0


class Fate(Struct, frozen=True):
    """How a life ends: at the n-th time that a place is reached, or after a while."""

    place: str | None = None
    times: int = 1
    after_s: float = 0.0

    @property
    def fail_at(self) -> str | None:
        """As the server is told."""
        return self.place and f"{self.place}:kill:{self.times}"


def fates(chance: random.Random) -> list[Fate]:
    """The ends of all lives, by a seed."""
    drawn = []
    for _ in range(ROUNDS):
        drawn += [Fate(place, chance.randint(1, 2 * DEVICES)) for place in sorted(PLACES)]
        drawn += [Fate(after_s=chance.uniform(0, LATEST_S)) for _ in range(2)]
    chance.shuffle(drawn)
    return drawn


class Lives:
    """One life after the other, with new devices in each and those that earlier ones cut off."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self.house = house
        self._chance = chance
        self._tasks: list[asyncio.Task[None]] = []

    async def go_through(self, fates: list[Fate]) -> None:
        """Live and be killed; the last life is a quiet one, in which everything ends."""
        for fate in fates:
            await self.house.start(fate.fail_at)
            self._tasks += [asyncio.create_task(self._live()) for _ in range(DEVICES)]
            await self._die(fate)
        await self.house.start()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._tasks)

    async def _live(self) -> None:
        house, chance = self.house, random.Random(self._chance.random())
        device = house.device(f"u{len(house.devices)}")
        with suppress(Cut):
            await house.connect(device)
            await Talk(device, chance).hold()
        await house.at_rest(device)

    async def _die(self, fate: Fate) -> None:
        ended = asyncio.ensure_future(self.house.ended())
        waiting: list[asyncio.Future[Any]] = [ended, asyncio.gather(*self._tasks)]
        await asyncio.wait(
            waiting,
            timeout=fate.after_s if fate.place is None else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not ended.done():  # its time has come, or its place does not come any more
            self.house.parley.send(signal.SIGKILL)
        assert await ended == -signal.SIGKILL


def cuts(devices: list[Device]) -> int:
    """How often a device was cut off while a request of its had no answer."""
    return sum(max((r.cuts for r in d.requests.values()), default=0) for d in devices)


@pytest.mark.row(1)
async def test_no_crash_loses_doubles_or_hangs_what_was_asked(tmp_path: Path) -> None:
    """Between receipt, insert, commit, append and `ack`, at the end, and at any other time."""
    chance = random.Random(SEED)
    async with house_in(tmp_path) as house:
        await Lives(house, chance).go_through(fates(chance))
        first = list(house.devices)
        await house.check_reload()
        assert await house.stop() == 0
        faults = house.judged()
    kills = house.life - 1 + house.died_starting
    asked = sum(len(device.acks) for device in first)
    said = f"kills, {house.died_starting} while starting, cut {cuts(first)} requests of {asked}"
    tally.count(kills, len(faults), said)
    assert not faults, f"seed {SEED}: " + "\n".join(faults)
