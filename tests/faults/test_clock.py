"""Clocks that jump: timers are monotonic, and who lives is told by the database's clock."""

import asyncio
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from urllib.request import urlopen

import pytest

from tests.conftest import LONG
from tests.faults.crowd import crowd
from tests.faults.device import Device
from tests.faults.instance import Instance
from tests.faults.town import HOUR, Town
from tests.faults.verdict import judge
from tests.support.programs import find
from tests.support.waiting import PATIENCE_S, until

JUMPS = (300, HOUR, -HOUR, -300, 0)
ROUNDS = 10 if LONG else 1
DEVICES = 12 if LONG else 6


def with_clock(instance: Instance, file: Path) -> Callable[[int], None]:
    """From its next life on a server's clock is so wrong as this is told last; monotonic it stays.

    It looks once a second how wrong it is to be.
    """
    file.write_text("+0")
    [library] = (find("faketime").parents[1] / "lib").glob("*/faketime/libfaketimeMT.so.1")
    instance.variables |= {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }

    def jump(seconds: int) -> None:
        file.write_text(f"{seconds:+}")

    return jump


def wrong_by(instance: Instance) -> float:
    """How far a server's clock is ahead, as its answers are dated."""
    with urlopen(f"{instance.url}/health/live") as answer:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time()


@pytest.mark.row(29)
async def test_a_clock_that_jumps_changes_nothing(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An hour on, an hour back: nobody is cut off, nothing is taken over, nothing out of order."""
    ada, _ = town.instances
    jump = with_clock(ada, tmp_path / "clock")
    await town.start_all()
    everybody: list[Device] = []
    for seed in range(ROUNDS):
        async with crowd(town, seed, DEVICES) as devices:
            everybody += devices
            for seconds in JUMPS:
                jump(seconds)
                async with asyncio.timeout(PATIENCE_S):
                    while abs(await asyncio.to_thread(wrong_by, ada) - seconds) > 5:
                        pass
                acks = sum(len(device.acks) for device in devices)
                await until(lambda: sum(len(d.acks) for d in devices) > acks + DEVICES)  # noqa: B023
    assert [device.closes for device in everybody if device.closes] == []
    outcomes = {outcome for device in everybody for _, outcome, _ in device.view.ended.values()}
    assert outcomes <= {"complete", "stopped"}
    await judge(town, capsys, "jumps of a clock", len(JUMPS) * ROUNDS)
