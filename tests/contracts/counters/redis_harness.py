"""Counters on Redis for the suite: two instances' links, under a prefix nobody used before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from storage.counters import Counters
from storage.redis.counters import SECOND, RedisCounters
from storage.redis.link import Link, open_link
from storage.redis.options import Options
from tests.contracts.counters.harness import Harness

_runs = count(1)


class RedisHarness:
    """The server's own clock cannot be set, so what a key tells of comes that much earlier."""

    def __init__(self, one: Link, other: Link) -> None:
        self._link = one
        self.one: Counters = RedisCounters(one)
        self.other: Counters = RedisCounters(other)

    async def pass_time(self, name: str, seconds: float) -> None:
        key = self._link.names.of("rate", name)
        full_at, left = (
            await self._link.ask_about(key, "GET", key),
            await self._link.ask_about(key, "PTTL", key),
        )
        left -= round(seconds * 1000)
        if full_at is None or left <= 0:
            await self._link.ask_about(key, "DEL", key)
            return
        earlier = int(full_at) - round(seconds * SECOND)
        await self._link.ask_about(key, "SET", key, earlier, "PX", left)


@asynccontextmanager
async def _over(url: str) -> AsyncIterator[Harness]:
    options = Options(prefix=f"counters-{next(_runs)}", timeout_s=30.0)
    async with open_link(url, options) as one, open_link(url, options) as other:
        yield RedisHarness(one, other)


@asynccontextmanager
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """One server."""
    async with _over(request.getfixturevalue("redis_url")) as harness:
        yield harness


@asynccontextmanager
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Three nodes."""
    async with _over(request.getfixturevalue("redis_cluster").url()) as harness:
        yield harness
