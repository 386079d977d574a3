"""A harness per implementation, for the suites."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from storage.log import Retention
from tests.contracts.event_log.calls import Make
from tests.contracts.event_log.harness import Harness
from tests.contracts.event_log.harnesses import HARNESSES

KEEP_ALL = Retention(entries=0, age_ms=0, idle_ms=0)


@pytest.fixture(params=list(HARNESSES.values()), ids=list(HARNESSES))
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Opens harnesses of one implementation, and closes them after the test."""
    async with AsyncExitStack() as stack:
        yield lambda retention: stack.enter_async_context(request.param(request, retention))


@pytest.fixture
async def harness(make: Make) -> Harness:
    """An empty log that keeps everything."""
    return await make(KEEP_ALL)
