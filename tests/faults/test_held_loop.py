"""An event loop that is held: who balances the load sends nobody there, until it is well again."""

import asyncio
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.faults.house import House, house_in
from tests.faults.plans import script
from tests.faults.town import get

pytestmark = [pytest.mark.alone, pytest.mark.row(31), pytest.mark.usefixtures("thrice")]

SETTINGS = {"PARLEY_LIMITS_LOOP_HELD_S": "0.5", "PARLEY_LIMITS_LOOP_SMOOTH_S": "2"}


def readiness(url: str) -> tuple[int, str]:
    """The status, and what is said of the loop."""
    try:
        with urlopen(f"{url}/health/ready") as answer:
            return answer.status, json.load(answer)["dependencies"]["loop"]
    except HTTPError as refused:
        return refused.code, json.load(refused)["dependencies"]["loop"]


async def until_ready(house: House, status: int) -> str:
    """Ask as a balancer does; what is said of the loop then."""
    async with asyncio.timeout(20):
        while True:
            found, loop = await asyncio.to_thread(readiness, house.url)
            if found == status:
                return loop


async def test_readiness_goes_off_and_comes_back(tmp_path: Path) -> None:
    """The log says where the loop stood; what was asked meanwhile is answered."""
    async with house_in(tmp_path, **SETTINGS) as house:
        await house.start(fail_at="received:hold:2")
        assert await until_ready(house, 200) == "ok"
        device = await house.connected("ann")
        device.send({"type": "chat", "content": script(" word", 3)})
        assert await until_ready(house, 503) == "failed"
        assert await until_ready(house, 200) == "ok"
        await house.at_rest(device)
        health = await asyncio.to_thread(get, house.url, "/health")
        assert health["loop_held"] == 1
        assert health["loop_longest_ms"] >= 500
        assert await house.stop() == 0
        lines = [line for line in house.parley.log.read_text().splitlines() if "is held" in line]
        [held] = map(json.loads, lines)
        assert any("reach" in place for place in held["stack"])
        assert house.judged() == []
