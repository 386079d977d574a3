"""A disk that is slow, broken or full: nothing is acknowledged that is not on it."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.device import Device
from tests.faults.house import House, house_in
from tests.faults.plans import script
from tests.support.lateness import within
from tests.support.programs import find

SLOW_S = 2.0
PROMPT_S = 1.0  # for a `pong`, whatever the disk does
SLOW = ("fdatasync", f"delay_enter={SLOW_S * 1e6:.0f}")
BROKEN = ("fdatasync", "error=EIO")
FULL = ("write,pwrite64,pwritev,ftruncate,fallocate", "error=ENOSPC")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A server at work; what was told and what is stored must fit at the end."""
    async with house_in(tmp_path) as house:
        await house.start()
        yield house
        assert await house.stop() == 0
        assert house.judged() == []


@contextmanager
def disk(house: House, fault: tuple[str, str]) -> Iterator[None]:
    """What the kernel does to the server's calls meanwhile."""
    calls, how = fault
    command = [str(find("strace")), "-f", "-o", "/dev/null", "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:{how}", "-p", str(house.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        assert b"attached" in tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()


async def slowest_pong(device: Device, until: "asyncio.Task[object]") -> float:
    """Ping now and then until something has happened; the longest wait for a pong."""
    longest = 0.0
    while not until.done():
        await asyncio.wait({until}, timeout=0.05)  # faster is too many frames
        device.heard.clear()
        began = time.monotonic()
        device.write({"type": "ping"})
        await device.until(lambda: any(frame["type"] == "pong" for frame in device.heard))
        longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.alone
@pytest.mark.row(28)
@pytest.mark.usefixtures("thrice")
async def test_a_slow_disk_delays_the_ack_and_nothing_else(house: House) -> None:
    """No `ack` before the commit is on the disk; the database is off the loop."""
    ada, bob = await house.connected("ada"), await house.connected("bob")
    with disk(house, SLOW):
        began = time.monotonic()
        asked = asyncio.ensure_future(ada.ask({"type": "chat", "content": script(" a", 3)}))
        longest = await slowest_pong(bob, asked)
        assert (await asked)["type"] == "ack"
        assert time.monotonic() - began >= SLOW_S
    await house.at_rest(ada)
    within(longest, PROMPT_S, "a pong")


@pytest.mark.row(28)
@pytest.mark.usefixtures("thrice")
async def test_a_broken_disk_acknowledges_nothing(house: House) -> None:
    """`unavailable`, and the same id is taken once the disk is well."""
    ada = await house.connected("ada")
    before = await ada.ask({"type": "chat", "content": script(" a", 3)})
    await ada.until(lambda: ada.at_rest)
    with disk(house, BROKEN):
        chat = ada.send({"type": "chat", "content": script(" b", 3)})
        await ada.until(lambda: ada.refusals["unavailable"] >= 3)
        page = await ada.ask({"type": "history", "conversation": before["conversation"]})
        assert len(page["messages"]) == 2
        assert chat.answers == []
    await house.at_rest(ada)
    assert chat.answer is not None
    assert chat.answer["type"] == "ack"


@pytest.mark.row(27)
async def test_on_a_full_disk_answers_go_on_and_end_when_there_is_room(house: House) -> None:
    """New messages are `unavailable`, reads work, and what could not be logged crashes nobody."""
    ada = await house.connected("ada")
    ack = await ada.ask({"type": "chat", "content": script(" word", 60, every_ms=20)})
    await ada.until(
        lambda: (shown := ada.view.answer(ack["answer"])) is not None and shown.text != ""
    )
    with disk(house, FULL):
        chat = ada.send({"type": "chat", "content": script(" b", 3)})
        await ada.until(lambda: ada.refusals["unavailable"] >= 3)
        page = await ada.ask({"type": "history", "conversation": ack["conversation"]})
        assert len(page["messages"]) == 2
        shown = ada.view.answer(ack["answer"])
        assert shown is not None
        await ada.until(lambda: shown.text == " word" * 60)
        assert shown.end is None
        assert chat.answers == []
    await house.at_rest(ada)
    assert ada.view.ended[ack["answer"]] == (" word" * 60, "complete", "stop")
