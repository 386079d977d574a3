"""A harness per implementation."""

from collections.abc import AsyncIterator

import pytest

from tests.contracts.counters.harness import Harness
from tests.contracts.counters.harnesses import HARNESSES


@pytest.fixture(params=list(HARNESSES.values()), ids=list(HARNESSES))
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Counters without a name in them."""
    async with request.param(request) as harness:
        yield harness
