"""Clients that vanish in any state of a dialogue, and come back: nothing of it shows."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import LONG
from tests.faults.device import Device
from tests.faults.house import House, house_in
from tests.faults.plans import TOOL, script
from tests.faults.town import get
from tests.faults.view import Frame, Shown
from tests.support import tally
from tests.support.chaos import How

ROUNDS = 17 if LONG else 1
FREED_S = 45.0  # the promise for a dead peer
STATES = (
    "TCP open",
    "half a head",
    "before hello",
    "hello sent",
    "chat before ack",
    "between chunks",
    "at complete",
    "awaiting approval",
    "in stop",
    "in attach",
)

# Called with each state that the dialogue passes through.
At = Callable[[str], Awaitable[None]]


def shown(device: Device, ack: Frame) -> Shown:
    """An answer on a device that knows of it."""
    found = device.view.answer(ack["answer"])
    return Shown(None) if found is None else found


async def said(device: Device, ack: Frame, text: str) -> None:
    """Until the device shows so much of an answer."""
    await device.until(lambda: shown(device, ack).text.startswith(text))


async def dialogue(device: Device, at: At) -> list[tuple[str, ...]]:
    """An answer, a tool that waits for approval, a stop and an attach; what is kept of it."""
    chat = device.send({"type": "chat", "content": script(" word", 20, every_ms=2)})
    await at("chat before ack")
    await device.until(lambda: chat.answer is not None)
    ack = chat.answer
    assert ack is not None
    into = {"type": "chat", "conversation": ack["conversation"]}
    await said(device, ack, " word" * 5)
    await at("between chunks")
    await said(device, ack, " word" * 20)
    await at("at complete")
    await device.until(lambda: device.at_rest)

    tool = await device.ask({**into, "content": script(" word", 4, at=2, tool=TOOL)})
    await device.until(lambda: shown(device, tool).state == "parked")
    await at("awaiting approval")
    [call] = shown(device, tool).tools.values()
    device.send(
        {"type": "approve", "call": call["call"], "args_hash": call["args_hash"], "allow": True}
    )
    await device.until(lambda: device.at_rest)

    held = await device.ask({**into, "content": script(" word", 9, fail="stall", at=3)})
    await said(device, held, " word" * 3)
    device.send({"type": "stop", "answer": held["answer"]})
    await at("in stop")
    await device.until(lambda: device.at_rest)

    device.send({"type": "attach", "conversation": ack["conversation"]})
    await at("in attach")
    await device.until(lambda: device.at_rest)
    page = await device.ask({"type": "history", "conversation": ack["conversation"]})
    return [
        (each["role"], each["content"], each.get("outcome", ""), each.get("finish_reason", ""))
        for each in page["messages"]
    ]


async def nowhere(_: str) -> None:
    """An undisturbed run."""


async def disturbed(house: House, n: int, state: str, how: How) -> list[tuple[str, ...]]:
    """The same with a client that vanishes in one state, in each round that of another person."""
    device = house.device("-".join([*state.lower().split(), how.value, str(n)]))

    async def at(point: str) -> None:
        if point == state:
            device.drop(how)
            await house.connect(device)

    if state in ("before hello", "hello sent"):
        await device.open(house.url, house.life)
        if state == "hello sent":
            device.hello()
        device.drop(how)
    await house.connect(device)
    return await dialogue(device, at)


def dropped(house: House, state: str, how: How) -> socket.socket | None:
    """A client that vanishes before there is a socket; one that is silent is still there."""
    parts = urlsplit(house.url)
    raw = socket.create_connection((parts.hostname, parts.port))
    if state == "half a head":
        raw.sendall(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webs")
    if how is How.SILENCE:
        return raw
    if how is How.RST:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    return None


async def until_sockets(house: House, count: int) -> None:
    """Until the server has freed all sockets but so many."""
    async with asyncio.timeout(FREED_S):
        while (await asyncio.to_thread(get, house.url, "/health"))["sockets"] != count:
            pass


@pytest.mark.row(21)
async def test_who_vanishes_and_returns_finds_an_undisturbed_dialogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten states by an end, a reset or silence; then the server is rid of all that is gone."""
    # Hundreds of clients are one process here, which may be late with its pongs.
    settings = {
        "PARLEY_SOCKET_HEARTBEAT_S": "8",
        "PARLEY_SOCKET_PONG_S": "8",
        "PARLEY_LIMITS_SOCKETS_PER_TENANT": "10000",
    }
    async with house_in(tmp_path, **settings) as house:
        await house.start()
        expected = await dialogue(await house.connected("nobody"), nowhere)
        assert [row[2:] for row in expected[1::2]] == [
            ("complete", "stop"),
            ("complete", "stop"),
            ("stopped", "stopped"),
        ]
        count = 0
        for n in range(ROUNDS):
            held = [dropped(house, *each) for each in product(STATES[:2], How)]
            found = await asyncio.gather(
                *(disturbed(house, n, *each) for each in product(STATES, How))
            )
            for raw in filter(None, held):
                raw.close()
            assert [each for each in found if each != expected] == []
            count += len(found)
        tally.count(count)
        await until_sockets(house, len(house.devices))
        assert await house.stop() == 0
        assert house.judged() == []
    with capsys.disabled():
        print(f"\n{count} vanished clients, 3/n {3 / count:.4f}")  # noqa: T201 - n is the result
