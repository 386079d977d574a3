"""Whether the way there and back is open."""

import asyncio

import pytest

from storage.errors import Unavailable
from storage.redis import roundtrip as module
from storage.redis.roundtrip import RoundTrip
from tests.storage.redis.conftest import LinkTo
from tests.support.redises import RedisCluster
from tests.support.services import Redis
from tests.support.waiting import PATIENCE_S, pause


async def until_it_is_open(trip: RoundTrip) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await trip.ask()
            except Unavailable:
                await pause()


async def test_what_is_said_is_heard_on_a_server(link_to: LinkTo, redis_url: str) -> None:
    """Many may ask at once."""
    trip = RoundTrip(await link_to(redis_url))
    await asyncio.gather(*(trip.ask() for _ in range(10)))


async def test_what_is_said_is_heard_in_a_cluster(
    link_to: LinkTo, redis_cluster: RedisCluster
) -> None:
    """At the node of the trip's channel."""
    await RoundTrip(await link_to(redis_cluster.url())).ask()


async def test_a_server_that_is_away_is_told_and_so_is_its_return(
    link_to: LinkTo, fresh_redis: Redis
) -> None:
    """Ears and calls both find it again."""
    trip = RoundTrip(await link_to(fresh_redis.url()))
    await trip.ask()
    fresh_redis.kill9()
    with pytest.raises(Unavailable):
        await trip.ask()
    fresh_redis.start()
    await until_it_is_open(trip)


async def test_a_server_that_hangs_is_told(
    link_to: LinkTo, fresh_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a time."""
    monkeypatch.setattr(module, "WITHIN_S", 0.05)
    trip = RoundTrip(await link_to(fresh_redis.url(), timeout_s=0.05))
    with fresh_redis.stop_cont(), pytest.raises(Unavailable):
        await trip.ask()


async def test_what_is_said_and_not_heard_is_told_and_mended(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may forget a subscription, and the next trip finds it there again."""
    link = await link_to(redis_url)
    trip = RoundTrip(link)
    await trip.ask()
    line = link.ears._where[trip._channel.encode()]
    deliver = line._hear[b"message"]
    line._hear[b"message"] = lambda _: None
    told: list[bytes] = []
    monkeypatch.setattr(link.ears, "again", told.append)
    monkeypatch.setattr(module, "WITHIN_S", 0.05)
    with pytest.raises(Unavailable, match="was not heard"):
        await trip.ask()
    assert told == [trip._channel.encode()]
    line._hear[b"message"] = deliver
    await until_it_is_open(trip)
    assert trip._awaited == {}
