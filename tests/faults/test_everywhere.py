"""Two servers are one: to an id that both are sent, and to all whom one of them sends away."""

import asyncio
import signal
from contextlib import closing, suppress

import pytest

from tests.conftest import LONG
from tests.faults.crowd import settle, shows
from tests.faults.device import Cut, Device
from tests.faults.going import goaways, kept, ready
from tests.faults.plans import script
from tests.faults.town import Town
from tests.faults.verdict import judge
from tests.faults.view import Frame
from tests.support.chaos import How
from tests.support.lateness import within

QUICK = {
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.1",
    "PARLEY_SOCKET_DRAIN_SPREAD_S": "1.5",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "6",
}
PACE = {} if LONG else QUICK
SOCKETS, STREAMING = (1000, 50) if LONG else (100, 10)
LONGER = STREAMING // 5  # of these answers do not end within the grace
GRACE_S = 30.0 if LONG else 6.0
WITHIN = script(" word", 60, every_ms=GRACE_S * 5)  # 30 % of the grace
BEYOND = script(" word", 90, every_ms=GRACE_S * 50)  # 4.5 times as long
RACES = 1000 if LONG else 100
IN_ONE = 10  # races in one conversation, of which a socket follows 50; the first of them makes it


@pytest.mark.row(22)
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
        where: Frame = {}
        for n in range(rounds):
            if n % IN_ONE == 0:
                where = {}
            frame = {"type": "chat", "id": f"raced-{n}", "content": script(f" {n}", 3), **where}
            acks = await asyncio.gather(*(device.ask(frame) for device in devices))
            assert [ack for ack in acks if ack["type"] != "ack"] == []
            assert len({(ack["message"], ack["answer"]) for ack in acks}) == 1
            assert sum(not ack["duplicate"] for ack in acks) == 1
            where = {"conversation": acks[0]["conversation"]}
            await settle(town, devices)

    await asyncio.gather(*(race(devices, RACES // len(pairs)) for devices in pairs))
    await judge(town, capsys, "ids raced over two servers", RACES)


@pytest.mark.alone
@pytest.mark.row(24)
async def test_everybody_on_a_server_that_drains_goes_on_at_the_other_one(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM: not ready, all back within 20 s, no answer lost, and it ends within 45 s.

    Answers that fit into the grace are whole, what waited behind longer ones is made elsewhere.
    """
    for each in town.instances:
        each.parley.set(**PACE)
    await town.start_all()
    ada, bob = town.instances
    devices = await town.all_connected(SOCKETS, ada)
    long, short = devices[:LONGER], devices[LONGER:STREAMING]
    waiting = [await queued(device) for device in long]
    for device in short:
        await device.ask({"type": "chat", "content": WITHIN})
    for device in (*long, *short):
        await shows(device, device.acks[0]["answer"])

    loop = asyncio.get_running_loop()
    began = loop.time()
    back: list[float] = []

    async def move(device: Device) -> None:
        with suppress(Cut):
            await device.until(lambda: bool(goaways(device)))
            await asyncio.sleep(goaways(device)[0]["reconnect_after_ms"] / 1000)
        if device.connected:
            device.drop(How.FIN)
        await town.connect(device, bob)
        back.append(loop.time() - began)
        await town.at_rest(device)

    with closing(kept(ada.url)) as asking:
        assert await asyncio.to_thread(ready, asking) == (200, True)
        ada.parley.send(signal.SIGTERM)
        moving = asyncio.gather(*(move(device) for device in devices))
        async with asyncio.timeout(GRACE_S):
            while (said := await asyncio.to_thread(ready, asking)) == (200, True):
                pass
        assert said == (503, False)
    assert await ada.ended() == 0
    ended = loop.time() - began
    await moving
    for device in short:
        assert device.view.ended[device.acks[0]["answer"]][1:] == ("complete", "stop")
    for device, ack in zip(long, waiting, strict=True):
        assert device.view.ended[device.acks[0]["answer"]][1:] == ("interrupted", "shutdown")
        assert device.view.ended[ack["answer"]] == (" next" * 3, "complete", "stop")
    what = f"SIGTERM with {SOCKETS} sockets, back in {max(back):.1f} s, ended in {ended:.1f} s"
    await judge(town, capsys, what, 1)
    assert ended >= GRACE_S
    within(max(back), 20.0, "back")
    within(ended, 45.0, "ended")


async def queued(device: Device) -> Frame:
    """Ask for an answer that outlasts the grace, and for another one behind it; its `ack`."""
    first = await device.ask({"type": "chat", "content": BEYOND})
    conversation = first["conversation"]
    return await device.ask(
        {"type": "chat", "content": script(" next", 3), "conversation": conversation}
    )
