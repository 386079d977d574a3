"""Two servers are one: to an id that both are sent, and to all whom one of them sends away."""

import asyncio
from contextlib import suppress

import pytest

from tests.conftest import LONG
from tests.faults.crowd import settle
from tests.faults.device import Cut, Device
from tests.faults.plans import script
from tests.faults.town import Town
from tests.faults.verdict import judge
from tests.faults.view import Frame
from tests.support.chaos import How

PACE = {} if LONG else {"PARLEY_SOCKET_DRAIN_PAUSE_S": "0.1", "PARLEY_SOCKET_DRAIN_SPREAD_S": "3"}
RACES = 1000 if LONG else 100


async def test_one_id_raced_over_two_servers_is_one_message(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both get the same `ack`, one of them as a duplicate; there is one answer."""
    await town.start_all()
    pairs = [
        [await town.connected(f"u{n}", each) for each in town.instances for _ in range(2)]
        for n in range(4)
    ]

    async def race(devices: list[Device], rounds: int) -> None:
        for n in range(rounds):
            frame: Frame = {"type": "chat", "id": f"raced-{n}", "content": script(f" {n}", 3)}
            acks = await asyncio.gather(*(device.ask(frame) for device in devices))
            assert len({(ack["message"], ack["answer"]) for ack in acks}) == 1
            assert sum(not ack["duplicate"] for ack in acks) == 1
            await settle(town, devices)

    await asyncio.gather(*(race(devices, RACES // len(pairs)) for devices in pairs))
    await judge(town, capsys, "ids raced over two servers", RACES)


async def test_everybody_on_a_server_that_drains_goes_on_at_the_other_one(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM: all back within 20 s, no answer lost, and it ends within 45 s."""
    for each in town.instances:
        each.parley.set(**PACE)
    await town.start_all()
    sockets, streaming = (1000, 50) if LONG else (100, 10)
    ada, bob = town.instances
    devices = await asyncio.gather(*(town.connected(f"u{n}", ada) for n in range(sockets)))
    for n, device in enumerate(devices[:streaming]):
        await device.ask({"type": "chat", "content": script(f" {n}", 100, every_ms=50)})
    loop = asyncio.get_running_loop()
    began = loop.time()
    back: list[float] = []

    async def move(device: Device) -> None:
        def asked() -> list[Frame]:
            return [frame for frame in device.heard if frame["type"] == "goaway"]

        with suppress(Cut):
            await device.until(lambda: bool(asked()))
            await asyncio.sleep(asked()[0]["reconnect_after_ms"] / 1000)
        if device.connected:
            device.drop(How.FIN)
        await town.connect(device, bob)
        back.append(loop.time() - began)
        await town.at_rest(device)

    moving = asyncio.gather(*(move(device) for device in devices))
    assert await ada.stop() == 0
    ended = loop.time() - began
    await moving
    what = f"SIGTERM with {sockets} sockets, back in {max(back):.1f} s, ended in {ended:.1f} s"
    await judge(town, capsys, what, sockets)
    assert max(back) <= 20.0
    assert ended <= 45.0
