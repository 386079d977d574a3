"""Devices that talk and come back, whatever happens to the servers meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.device import Cut, Device
from tests.faults.plans import Talk
from tests.faults.town import Town

REST_S = 100.0


@asynccontextmanager
async def crowd(town: Town, seed: int, devices: int) -> AsyncIterator[list[Device]]:
    """They talk as long as the block lasts; afterwards all that they asked for has ended."""
    chance = random.Random(seed)
    over = asyncio.Event()
    crowd = [town.device(f"u{len(town.devices)}") for _ in range(devices)]
    tasks = [
        asyncio.create_task(_live(town, device, random.Random(chance.random()), over))
        for device in crowd
    ]
    try:
        yield crowd
    finally:
        over.set()
        async with asyncio.timeout(REST_S):
            await asyncio.gather(*tasks)


async def settle(town: Town, devices: list[Device]) -> None:
    """Until all that they asked for was answered and has ended."""
    async with asyncio.timeout(REST_S):
        await asyncio.gather(*(town.at_rest(device) for device in devices))


async def _live(town: Town, device: Device, chance: random.Random, over: asyncio.Event) -> None:
    await town.reconnect(device)
    while not over.is_set():
        try:
            await Talk(device, chance).hold()
        except Cut:
            await town.reconnect(device)
        except TimeoutError:
            raise AssertionError(f"there hangs {device!r}") from None
    await town.at_rest(device)


async def shows(device: Device, answer: str) -> None:
    """Until something of an answer is shown, or it ended."""

    def enough() -> bool:
        shown = device.view.answer(answer)
        return device.view.has_ended(answer) or (shown is not None and shown.text != "")

    await device.until(enough)
