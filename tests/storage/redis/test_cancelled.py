"""Who is cancelled while Redis is asked is cancelled, or no task could be ended for sure."""

import asyncio

from storage.redis.link import open_link
from tests.support.redises import RedisCluster

TURNS = 40  # of the loop; an answer takes about ten


async def test_no_moment_of_a_call_loses_a_cancellation(redis_cluster: RedisCluster) -> None:
    """Also not the one in which the answer has come and nobody has looked at it yet."""
    async with open_link(redis_cluster.url()) as link:

        async def ask_and_stay() -> None:
            await link.ask_about("cancelled:{1}", "GET", "cancelled:{1}")
            await asyncio.Event().wait()

        for turns in range(TURNS):
            task = asyncio.create_task(ask_and_stay())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            assert task.cancelled(), f"not after {turns} turns"
