"""A log on Redis for the suites: two instances' links, under a prefix that nobody used before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest

from protocol.types import Id
from storage.ids import monotonic_ms
from storage.log import EventLog, Retention
from storage.redis.link import Link, open_link
from storage.redis.log import RedisLog
from storage.redis.names import BUCKETS
from storage.redis.options import Options
from storage.redis.roundtrip import SAY
from tests.support.waiting import PATIENCE_S

# Entries came that much earlier; the server's own clock cannot be set.
AGE = """
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
local left = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
for _, entry in ipairs(entries) do
    local came = string.format('%013.0f', math.max(0, string.sub(entry[2][2], 1, 13) - ARGV[1]))
    redis.call('XADD', KEYS[1], entry[1], 'b', came .. string.sub(entry[2][2], 14))
end
if left >= 0 then redis.call('PEXPIRE', KEYS[1], left) end
"""

# Time passes for the server by itself too. Seconds that a busy machine takes must not count.
SLOWER = 100

_runs = count(1)


class RedisHarness:
    """What tests may do to it, they do through a client's back door."""

    def __init__(self, one: Link, other: Link, retention: Retention, prefix: str) -> None:
        self._prefix = prefix
        self._links = (one, other)
        self._client: Any = one._client
        self._passed = 0
        self._settled = count(1)
        every = [one.names.of("settle", str(number)) for number in range(BUCKETS)]
        self._channels = list({one._place(channel): channel for channel in every}.values())
        slower = Retention(
            entries=retention.entries,
            age_ms=retention.age_ms * SLOWER,
            idle_ms=retention.idle_ms * SLOWER,
        )
        self._logs = [RedisLog(link, slower, self._clock) for link in self._links]
        self.one: EventLog = self._logs[0]
        self.other: EventLog = self._logs[1]

    async def pass_time(self, ms: int) -> None:
        """Keys have that much less to live, and what they tell of happened that much earlier."""
        await self._quiet()
        ms *= SLOWER
        self._passed += ms
        async for key in self._client.scan_iter(match=f"{self._prefix}:*"):
            left = await self._client.pttl(key)
            if left >= 0:
                await self._client.pexpire(key, max(0, left - ms))
            if b":entries:" in key:
                await self._client.eval(AGE, 1, key, ms)
            elif since := await self._client.hget(key, "a"):
                await self._client.hset(key, "a", int(since) - ms)

    async def save(self, conversation: Id) -> object:
        return [(key, await self._client.dump(key)) for key in self._logs[0]._keys(conversation)]

    async def restore(self, conversation: Id, saved: object) -> None:
        await self.lose(conversation)
        for key, dump in saved:  # type: ignore[attr-defined]  # opaque to all but `save`
            if dump is not None:
                await self._client.restore(key, 0, dump)

    async def lose(self, conversation: Id) -> None:
        for key in self._logs[0]._keys(conversation):
            await self._client.delete(key)

    async def settle(self) -> None:
        """Behind a word on the same way, whatever was published and unsubscribed has arrived."""
        await self._quiet()
        number = next(self._settled)
        await asyncio.gather(
            *(
                self._settle(link, f"{channel}:{number}")
                for link in self._links
                for channel in self._channels
            )
        )
        await self._quiet()

    async def _settle(self, link: Link, channel: str) -> None:
        heard = asyncio.Event()
        hearing = link.ears.hear(channel, partial(_set, heard))
        await hearing.sure(PATIENCE_S)
        await link.call(SAY, [channel], [link.publish, b"word"])
        await heard.wait()
        hearing.close()

    async def _quiet(self) -> None:
        for log in self._logs:
            await log._followed.settled()

    def _clock(self) -> int:
        return monotonic_ms() + self._passed


def _set(heard: asyncio.Event, _: bytes | None) -> None:
    heard.set()


@asynccontextmanager
async def _over(url: str, retention: Retention) -> AsyncIterator[RedisHarness]:
    # Patient: a busy machine is no fault that a suite is about.
    options = Options(prefix=f"suite-{next(_runs)}", timeout_s=30.0)
    async with open_link(url, options) as one, open_link(url, options) as other:
        yield RedisHarness(one, other, retention, options.prefix)


@asynccontextmanager
async def redis(
    request: pytest.FixtureRequest, retention: Retention
) -> AsyncIterator[RedisHarness]:
    """One server."""
    async with _over(request.getfixturevalue("redis_url"), retention) as harness:
        yield harness


@asynccontextmanager
async def cluster(
    request: pytest.FixtureRequest, retention: Retention
) -> AsyncIterator[RedisHarness]:
    """Three nodes."""
    async with _over(request.getfixturevalue("redis_cluster").url(), retention) as harness:
        yield harness
