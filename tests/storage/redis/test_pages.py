"""Pages of a log, and what may happen while a long one is read."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from protocol.types import Position
from storage.log import Entry, Loss, Lost, Retention, Slice
from storage.redis.link import Argument, Link
from storage.redis.log import RedisLog
from storage.redis.pages import SHORT
from storage.redis.scripts import Script
from tests.contracts.event_log.calls import ANSWER, TALK, append, opened, piece, say
from tests.storage.redis.conftest import LinkTo

LONG = SHORT + 1


class Meanwhile:
    """Something that happens once, behind the first command and before the script that follows."""

    def __init__(self, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        self._link = link
        self._monkeypatch = monkeypatch

    def happens(self, what: Callable[[], Awaitable[object]]) -> None:
        ask = self._link.ask_about

        async def ask_and_let_it_happen(key: str, *command: Argument) -> Any:
            answer = await ask(key, *command)
            await what()
            return answer

        self._monkeypatch.setattr(self._link, "ask_about", ask_and_let_it_happen)


async def test_a_long_page_is_what_a_short_one_is(link_to: LinkTo, redis_url: str) -> None:
    """All of an entry, in order, from behind the position on, and no more than was asked for."""
    log = RedisLog(await link_to(redis_url))
    position = await opened(log)
    await append(log, *(piece(position, number) for number in range(1, LONG + 10)))
    short = await log.read(TALK, Position(position.epoch, 5), SHORT)
    long = await log.read(TALK, Position(position.epoch, 5), LONG)
    assert isinstance(short, Slice)
    assert isinstance(long, Slice)
    assert long.entries[:SHORT] == short.entries
    assert long.entries[-1] == Entry(LONG + 5, ANSWER, LONG + 5, f"{ANSWER} {LONG + 5}".encode())
    assert [short.head, long.head] == [LONG + 9, LONG + 9]


async def test_a_long_page_costs_redis_no_script_that_copies_it(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would do nothing else for six times as long."""
    link = await link_to(redis_url)
    log = RedisLog(link)
    position = await opened(log)
    await append(log, *(piece(position, number) for number in range(1, LONG + 1)))
    call, given = link.call, []

    async def listen(script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        answer = await call(script, keys, arguments)
        given.append(answer)
        return answer

    monkeypatch.setattr(link, "call", listen)
    assert isinstance(await log.read(TALK, position, LONG), Slice)
    assert given == [[b"", LONG, 0, []]]


async def test_a_page_does_not_tell_of_what_was_stored_behind_it_meanwhile(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hears of a higher head and gets no entry takes the log for damaged."""
    link = await link_to(redis_url)
    log = RedisLog(link)
    position = await opened(log)
    Meanwhile(link, monkeypatch).happens(lambda: say(log, position, range(1, 2)))
    assert await log.read(TALK, position, LONG) == Slice((), 0)


async def test_a_full_page_tells_how_far_the_log_reaches(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader goes on from its last entry."""
    link = await link_to(redis_url)
    log = RedisLog(link)
    position = await opened(log)
    await append(log, *(piece(position, number) for number in range(1, LONG + 1)))
    Meanwhile(link, monkeypatch).happens(lambda: append(log, piece(position, LONG + 1)))
    found = await log.read(TALK, position, LONG)
    assert isinstance(found, Slice)
    assert [len(found.entries), found.head] == [LONG, LONG + 1]


@pytest.mark.parametrize(("what", "loss"), [("renew", Loss.EPOCH), ("drop", Loss.NO_LOG)])
async def test_a_page_of_a_log_that_ends_meanwhile_is_lost(
    link_to: LinkTo,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    loss: Loss,
) -> None:
    """What was read may be of that epoch or of the next one."""
    link = await link_to(redis_url)
    log = RedisLog(link)
    position = await opened(log)
    await say(log, position, range(1, 3))

    async def renew() -> None:
        now = await log.open(TALK, position.epoch, 0, {ANSWER: 1})
        assert now is not None
        await say(log, now, range(1, 4))

    async def drop() -> None:
        await log.drop([TALK])

    Meanwhile(link, monkeypatch).happens({"renew": renew, "drop": drop}[what])
    found = await log.read(TALK, position, LONG)
    assert isinstance(found, Lost)
    assert found.reason is loss


async def test_a_page_whose_beginning_is_trimmed_meanwhile_is_lost(
    link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same as if it had been asked for later."""
    link = await link_to(redis_url)
    log = RedisLog(link, Retention(entries=1))
    position = await opened(log)
    await append(log, *(piece(position, number) for number in (1, 2)))
    ends = piece(position, 3, ends=ANSWER)
    Meanwhile(link, monkeypatch).happens(lambda: append(log, ends))
    found = await log.read(TALK, position, LONG)
    assert found == Lost(Loss.TRIMMED, Position(position.epoch, 3), oldest=2)
