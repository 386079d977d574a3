"""An instance goes, and its devices go on at the other one, through the proxy."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Makes
from tests.deploy.front import Front, ask, databases, front_in, host_of, stored
from tests.faults.device import Cut, Device
from tests.faults.plans import script
from tests.faults.town import get

QUICK = {
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.05",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "5",
    "PARLEY_SOCKET_DRAIN_SPREAD_S": "0.2",
}


@pytest.fixture
async def shared(tmp_path: Path, fresh_postgres: Makes, redis_url: str) -> AsyncIterator[Front]:
    """Two instances over the same databases."""
    settings = {**databases(fresh_postgres(), redis_url), **QUICK}
    with front_in(tmp_path, "one", "two", **settings) as front:
        async with front.visited():
            yield front


async def test_when_an_instance_is_killed_its_devices_go_on_at_the_other(shared: Front) -> None:
    """At once, with the same text, while the answer that they follow is made elsewhere."""
    asking = await shared.connected("ada", "two")
    first = await ask(asking, script(" word", 3))
    following = await shared.connected("ada", "one")
    hole = {"type": "attach", "conversation": first["conversation"], "history": 10}
    await following.ask(hole)
    content = script(" word", 150, every_ms=20)
    ack = await asking.ask(
        {"type": "chat", "content": content, "conversation": first["conversation"]}
    )
    await shows(following, ack["answer"])
    shared.instances["one"].kill()
    with pytest.raises(Cut):
        await following.until(lambda: False)
    assert ack["answer"] not in following.view.ended
    await following.connect(shared.url)
    assert host_of(following) == "two"
    for _ in range(4):
        assert host_of(await shared.connected("eve")) == "two"
    await ends(following, ack["answer"])
    text = " word" * 150
    assert following.view.ended[ack["answer"]] == (text, "complete", "stop")
    assert await stored(following, ack) == text
    assert following.view.faults == []


async def test_when_an_instance_drains_its_devices_go_to_the_other(shared: Front) -> None:
    """They are asked to, are let in at the first try, and miss nothing."""
    devices = [await shared.connected(f"u{n}", "one") for n in range(10)]
    acks = [await ask(device, script(" word", 60, every_ms=20)) for device in devices]
    for device, ack in zip(devices, acks, strict=True):
        await shows(device, ack["answer"])
    drained = asyncio.create_task(asyncio.to_thread(shared.instances["one"].stop, signal.SIGTERM))
    await asyncio.gather(*(moved(shared, device) for device in devices))
    assert {host_of(device) for device in devices} == {"two"}
    assert (await asyncio.to_thread(get, shared.url, "/health/ready"))["ready"]
    for device, ack in zip(devices, acks, strict=True):
        await ends(device, ack["answer"])
        assert device.view.ended[ack["answer"]] == (" word" * 60, "complete", "stop")
        assert await stored(device, ack) == " word" * 60
        assert device.view.faults == []
    assert await drained == 0


async def moved(front: Front, device: Device) -> None:
    """Do as `goaway` says, at once."""
    await device.until(lambda: any(frame["type"] == "goaway" for frame in device.heard))
    await device.close()
    await device.connect(front.url)


async def shows(device: Device, answer: str) -> None:
    """Until something of an answer is shown."""

    def anything() -> bool:
        shown = device.view.answer(answer)
        return shown is not None and shown.text != ""

    await device.until(anything)


async def ends(device: Device, answer: str) -> None:
    """Until the end of an answer is shown."""
    await device.until(lambda: answer in device.view.ended)
