"""A process that runs short of memory: it takes nothing new, and what it has goes on."""

import resource
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.device import Cut, Device
from tests.faults.house import House, house_in
from tests.faults.plans import script
from tests.support.rawsocket import RawSocket, Response, request

pytestmark = [pytest.mark.row(30), pytest.mark.usefixtures("thrice")]

LONG_ANSWER = script(" word", 2000, every_ms=2)
SHORT_ANSWER = script(" word", 3)


def mapped(pid: int) -> int:
    """The bytes of a process's address space."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def bind(pid: int, address_space: int) -> None:
    """What `prlimit --as` does."""
    resource.prlimit(pid, resource.RLIMIT_AS, (address_space, resource.RLIM_INFINITY))


async def until_refused(device: Device) -> None:
    """Ask for one answer after the other until it is told to come back; it does so by itself."""
    ask = {"type": "chat", "content": SHORT_ANSWER}
    ask["conversation"] = (await device.ask(ask))["conversation"]
    while not device.refusals["overloaded"]:
        device.send({**ask, "on_busy": "interrupt"})
        await device.until(lambda: not device.in_flight or device.refusals["overloaded"] > 0)


async def handshake(house: House) -> Response:
    """How a new socket is received."""
    async with await RawSocket.connect(urlsplit(house.url).port or 0) as raw:
        await raw.send(request())
        return await raw.response()


async def let_in(house: House, user: str) -> Device:
    """A new device, as soon as one is let in."""
    device = house.device(user)
    while True:
        try:
            await house.connect(device)
        except Cut:
            continue
        return device


async def test_near_its_bound_a_process_takes_nothing_new_and_lives(tmp_path: Path) -> None:
    """Answers and resumes go on; when there is memory again, everybody is let in."""
    async with house_in(tmp_path) as house:
        await house.start()
        device = await house.connected("ann")
        ack = await device.ask({"type": "chat", "content": LONG_ANSWER})
        bind(house.pid, round(mapped(house.pid) / 0.9))
        await until_refused(device)
        [error] = [frame for frame in device.heard if frame["type"] == "error"]
        assert error["retryable"]
        assert error["retry_after_ms"] >= 1000
        refused = await handshake(house)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) >= 1
        attached = await device.ask({"type": "attach", "conversation": ack["conversation"]})
        assert (attached["type"], len(attached["answers"])) == ("attached", 1)
        await device.until(lambda: device.view.has_ended(ack["answer"]))
        assert device.in_flight
        bind(house.pid, resource.RLIM_INFINITY)
        late = await let_in(house, "late")
        await late.ask({"type": "chat", "content": SHORT_ANSWER})
        for each in house.devices:
            await house.at_rest(each)
        await house.check_reload()
        assert await house.stop() == 0
        assert house.judged() == []


async def test_a_watermark_that_is_reached_from_the_beginning_lets_nobody_in(
    tmp_path: Path,
) -> None:
    """The process lives and says so; with a higher one it takes whoever comes."""
    async with house_in(tmp_path, PARLEY_LIMITS_MEMORY_MIB="1") as house:
        await house.start()
        assert (await handshake(house)).status == 503
        assert await house.stop() == 0
        house.parley.set(PARLEY_LIMITS_MEMORY_MIB="100000")
        await house.start()
        device = await house.connected("ann")
        await device.ask({"type": "chat", "content": SHORT_ANSWER})
        await house.at_rest(device)
