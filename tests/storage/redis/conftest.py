"""Links of one test, each closed after it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest

from storage.redis.link import Link, open_link
from storage.redis.options import Options

LinkTo = Callable[..., Awaitable[Link]]

_prefixes = count(1)


@pytest.fixture
def prefix() -> str:
    """One that nobody used before."""
    return f"test-{next(_prefixes)}"


@pytest.fixture
async def link_to(prefix: str) -> AsyncIterator[LinkTo]:
    """Opens links to an address; the options are patient unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def opened(url: str, **options: object) -> Link:
            patient = {"prefix": prefix, "timeout_s": 20.0, "pause_s": 0.01}
            chosen = Options(**{**patient, **options})  # type: ignore[arg-type]  # as Options says
            return await stack.enter_async_context(open_link(url, chosen))

        yield opened
