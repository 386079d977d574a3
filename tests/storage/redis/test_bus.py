"""Words between instances over Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from storage.redis import bus as module
from storage.redis.bus import RedisBus
from tests.storage.redis.conftest import LinkTo
from tests.support.redises import RedisCluster
from tests.support.services import Redis
from tests.support.waiting import PATIENCE_S, until

TOPIC = "stop m_1"
Instance = Callable[[str], Awaitable[RedisBus]]


@pytest.fixture
async def instance(link_to: LinkTo) -> AsyncIterator[Instance]:
    """Makes instances' buses, whose words are carried."""
    async with AsyncExitStack() as stack:

        async def started(url: str) -> RedisBus:
            bus = RedisBus(await link_to(url))
            task = asyncio.create_task(bus.run())
            stack.push_async_callback(asyncio.wait, [task])
            stack.callback(task.cancel)
            return bus

        yield started


async def listening(bus: RedisBus, topic: str = TOPIC) -> list[bytes]:
    heard: list[bytes] = []
    await bus.listen(topic, heard.append).sure(PATIENCE_S)
    return heard


@pytest.mark.parametrize("kind", ["server", "cluster"])
async def test_others_hear_a_word_and_oneself_does_not(
    kind: str, instance: Instance, request: pytest.FixtureRequest
) -> None:
    """What one says one knows."""
    shared: Redis | RedisCluster = request.getfixturevalue(f"redis_{kind}")
    one, other, third = [await instance(shared.url()) for _ in range(3)]
    own, heard, also = [await listening(each) for each in (one, other, third)]
    one.say(TOPIC, b"stop")
    other.say(TOPIC, b"thanks")
    await until(lambda: own and heard and len(also) == 2)
    assert (own, heard, sorted(also)) == ([b"thanks"], [b"stop"], [b"stop", b"thanks"])


async def test_words_about_other_topics_are_not_heard(instance: Instance, redis_url: str) -> None:
    """An instance's load grows with what it listens to."""
    one, other = await instance(redis_url), await instance(redis_url)
    heard = await listening(other)
    one.say("elsewhere", b"x")
    one.say(TOPIC, b"y")
    await until(lambda: heard)
    assert heard == [b"y"]


async def test_words_come_in_the_order_in_which_they_were_said(
    instance: Instance, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in several calls."""
    monkeypatch.setattr(module, "AT_ONCE", 7)
    one, other = await instance(redis_url), await instance(redis_url)
    heard = await listening(other)
    words = [str(number).encode() for number in range(100)]
    for word in words:
        one.say(TOPIC, word)
    await until(lambda: len(heard) == 100)
    assert heard == words


async def test_in_a_cluster_words_about_many_topics_are_carried(
    instance: Instance, redis_cluster: RedisCluster
) -> None:
    """By a call for each bucket."""
    one, other = [await instance(redis_cluster.url()) for _ in range(2)]
    topics = [f"topic {n}" for n in range(100)]
    heard = [await listening(other, topic) for topic in topics]
    for topic in topics:
        one.say(topic, topic.encode())
    await until(lambda: all(heard))
    assert heard == [[topic.encode()] for topic in topics]


async def test_who_closed_hears_no_more(instance: Instance, redis_url: str) -> None:
    """And closing twice is closing once."""
    one, other = await instance(redis_url), await instance(redis_url)
    silent: list[bytes] = []
    listening_ear = other.listen(TOPIC, silent.append)
    heard = await listening(other)
    for _ in range(2):
        listening_ear.close()
    one.say(TOPIC, b"x")
    await until(lambda: heard)
    assert silent == []


async def test_while_redis_is_away_words_are_lost_and_later_ones_are_heard(
    instance: Instance, fresh_redis: Redis
) -> None:
    """Saying neither waits nor fails, and carrying goes on."""
    one, other = [await instance(fresh_redis.url()) for _ in range(2)]
    heard = await listening(other)
    fresh_redis.kill9()
    one.say(TOPIC, b"lost")
    await until(lambda: not one._link.reachable)
    fresh_redis.start()

    def said_again() -> bool:
        one.say(TOPIC, b"later")
        return bool(heard)

    await until(said_again)
    assert set(heard) == {b"later"}


async def test_of_too_many_words_the_latest_are_kept(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones are of a moment that has passed."""
    monkeypatch.setattr(module, "WAITING", 3)
    bus = RedisBus(await link_to(redis_url))
    for number in range(10):
        bus.say(TOPIC, str(number).encode())
    assert [word[-1:] for _, word in bus._waiting] == [b"7", b"8", b"9"]
