"""What a run of faults found, with the number that its zeros are worth."""

import pytest

from tests.faults.town import Town
from tests.support import tally


async def judge(town: Town, capsys: pytest.CaptureFixture[str], what: str, faults: int) -> None:
    """End it, print n and 3/n, and fail if anything was found."""
    asked = sum(len(device.acks) for device in town.devices)
    found = await town.over()
    tally.count(faults, len(found), what)
    with capsys.disabled():
        print(  # noqa: T201 - n is the result
            f"\n{what}: n {faults}, 3/n {3 / max(1, faults):.4f};"
            f" {asked} answers, {len(found)} found"
        )
    assert not found, f"{what}: " + "\n".join(found)
