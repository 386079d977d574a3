"""A harness per implementation, for the suite."""

from collections.abc import AsyncIterator

import pytest

from tests.contracts.seats.harness import HARNESSES, Harness


@pytest.fixture(params=list(HARNESSES.values()), ids=list(HARNESSES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Three instances that know of each other."""
    async with request.param(request) as opened:
        for _ in range(2):
            for seats in (opened.one, opened.other, opened.third):
                await seats.keep(0)
        yield opened
