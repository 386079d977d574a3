"""What is Redis' own about the counters there."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from storage.bucket import Rate
from storage.errors import Unavailable
from storage.redis.counters import SECOND, RedisCounters
from storage.redis.link import Link, open_link
from storage.redis.options import Options
from tests.support.services import Redis

MINUTES = Rate(interval_s=60.0, burst=3)
_runs = count(1)


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    """With names of the test's own."""
    async with open_link(redis_url, Options(prefix=f"rates-{next(_runs)}")) as link:
        yield link


async def test_a_bucket_is_a_key_that_is_gone_when_it_is_full(link: Link) -> None:
    """In a slot of its bucket, and no longer there than it says anything."""
    counters, key = RedisCounters(link), link.names.of("rate", "ann")
    assert "}:rate:ann" in key
    for taken in (1, 2, 3):
        assert await counters.take("ann", MINUTES) == 0
        assert (taken - 1) * 60_000 < await link.ask_about(key, "PTTL", key) <= taken * 60_000
    await counters.take("ann", MINUTES)
    assert await link.ask_about(key, "PTTL", key) <= 180_000
    for left in (2, 1):
        await counters.give_back("ann", MINUTES)
        assert (left - 1) * 60_000 < await link.ask_about(key, "PTTL", key) <= left * 60_000
    await counters.give_back("ann", MINUTES)
    assert await link.ask_about(key, "EXISTS", key) == 0


async def test_a_clock_that_was_set_back_holds_nobody_up_for_long(link: Link) -> None:
    """What lies an hour ahead can be no more than a whole bucket."""
    counters, key = RedisCounters(link), link.names.of("rate", "ann")
    assert await counters.take("ann", MINUTES) == 0
    ahead = int(await link.ask_about(key, "GET", key)) + 3600 * SECOND
    await link.ask_about(key, "SET", key, ahead, "PX", 3_600_000)
    assert await counters.take("ann", MINUTES) == 60


async def test_without_memory_or_a_server_it_says_so() -> None:
    """Whoever asks has a bucket of their own for that."""
    with Redis() as server:
        async with open_link(server.url(), Options(prefix="full", pause_s=0.01)) as link:
            counters = RedisCounters(link)
            assert await counters.take("ann", MINUTES) == 0
            server.ask("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
            with pytest.raises(Unavailable):
                await counters.take("bob", MINUTES)
            await counters.give_back("ann", MINUTES)  # for that it needs none
            server.kill9()
            with pytest.raises(Unavailable):
                await counters.take("ann", MINUTES)
