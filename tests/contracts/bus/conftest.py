"""A harness per implementation, for the suite."""

from collections.abc import AsyncIterator

import pytest

from tests.contracts.bus.harness import HARNESSES, Harness


@pytest.fixture(params=list(HARNESSES.values()), ids=list(HARNESSES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Instances that have said nothing yet."""
    async with request.param(request) as opened:
        yield opened
