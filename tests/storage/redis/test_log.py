"""What the log on Redis does beside its contract: the server's own faults, sizes and neighbours."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from protocol.types import MAX_SAFE_INTEGER, Position
from storage.errors import Unavailable
from storage.log import (
    ROWS,
    Append,
    Appended,
    Checkpoint,
    Doubt,
    EventLog,
    Loss,
    Lost,
    Refusal,
    Refused,
    Registered,
    Retention,
    Slice,
)
from storage.redis import log as module
from storage.redis.link import Argument, Link
from storage.redis.log import RedisLog
from storage.redis.scripts import Script
from tests.contracts.event_log.calls import ANSWER, TALK, append, opened, piece, row, say, stored
from tests.contracts.event_log.harness import Mailbox
from tests.storage.redis.conftest import LinkTo
from tests.support.redises import Failover, RedisCluster
from tests.support.services import Redis
from tests.support.waiting import PATIENCE_S, pause, until

NEIGHBOUR = "c_neighbour"


async def until_it_answers(log: EventLog) -> Position | None:
    """Where the log stands, once the server says so."""
    async with asyncio.timeout(PATIENCE_S):
        while TALK not in (found := await log.heads([TALK])):
            await pause()
    return found[TALK]


async def is_lost(log: EventLog, before: Position) -> None:
    """By every method, until a new epoch is opened; and that one works."""
    assert await until_it_answers(log) is None
    assert await log.read(TALK, before, 10) == Lost(Loss.NO_LOG)
    assert await append(log, piece(before, 3)) == [Refused(Refusal.EPOCH)]
    assert await log.fence(TALK, before.epoch, ANSWER, 2) == Refused(Refusal.EPOCH)
    await log.checkpoint([Checkpoint(TALK, before.epoch, ANSWER, 1)])
    assert await log.open(TALK, before.epoch, 0, {ANSWER: 1}) is None
    now = await opened(log)
    assert now.epoch != before.epoch
    assert await append(log, piece(now, 1), piece(now, 2)) == [Appended(1), Appended(2)]


class TestServersThatGoBack:
    @pytest.mark.parametrize("keep", [False, True], ids=["nothing kept", "all kept"])
    async def test_a_restart_ends_every_epoch(self, link_to: LinkTo, keep: bool) -> None:
        """Also where the log is all there: nobody knows how much of it is missing."""
        with Redis(keep=keep) as server:
            log = RedisLog(await link_to(server.url()))
            position = await opened(log)
            await say(log, position, range(1, 3))
            server.kill9()
            server.start()
            await is_lost(log, position)

    async def test_a_promoted_replica_ends_every_epoch(self, link_to: LinkTo) -> None:
        """It may not have been told all."""
        with Failover() as pair:
            log = RedisLog(await link_to(pair.primary.url()))
            position = await opened(log)
            await say(log, position, range(1, 3))
            assert pair.primary.ask("WAIT", 1, 5000) == 1
            pair.promote()
            await is_lost(RedisLog(await link_to(pair.primary.url())), position)

    @pytest.mark.parametrize("kind", ["log", "entries"])
    async def test_a_log_of_which_a_part_was_evicted_is_lost(
        self, link_to: LinkTo, redis_url: str, kind: str
    ) -> None:
        """It is no log with a hole: what an unfinished answer did not checkpoint is missing."""
        link = await link_to(redis_url)
        log = RedisLog(link)
        position = await opened(log)
        await say(log, position, range(1, 3))
        await link.ask_about(link.names.of(kind, TALK), "DEL", link.names.of(kind, TALK))
        await is_lost(log, position)

    @pytest.mark.parametrize("kind", ["log", "entries"])
    async def test_a_key_of_another_type_is_no_log_and_harms_no_other(
        self, link_to: LinkTo, redis_url: str, kind: str
    ) -> None:
        """Of many in one call: they would be deaf and mute for as long as it is there."""
        link = await link_to(redis_url)
        log = RedisLog(link)
        position, sound = await opened(log), await opened(log, conversation=NEIGHBOUR)
        await say(log, position, range(1, 3))
        key = link.names.of(kind, TALK)
        await link.ask_about(key, "SET", key, "not a log")
        assert await log.heads([TALK, NEIGHBOUR]) == {TALK: None, NEIGHBOUR: sound}
        mine, other = piece(position, 3), Append(NEIGHBOUR, ANSWER, 1, 1, b"x", sound)
        assert await append(log, mine, other) == [Refused(Refusal.EPOCH), Appended(1)]
        places = [(TALK, position), (NEIGHBOUR, sound)]
        await log.checkpoint([Checkpoint(each, at.epoch, ANSWER, 1) for each, at in places])
        await is_lost(log, position)

    async def test_another_error_of_the_server_is_not_taken_for_no_log(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """A new epoch would throw away what is there."""
        log = RedisLog(await link_to(fresh_redis.url()))
        await opened(log)
        fresh_redis.ask("ACL", "SETUSER", "default", "-hmget")
        assert await log.heads([TALK]) == {}

    async def test_without_memory_nothing_is_stored_and_all_is_read(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """An append that finds none has done nothing; when there is some again, it goes on."""
        log = RedisLog(await link_to(fresh_redis.url()))
        position = await opened(log)
        await say(log, position, range(1, 3))
        fresh_redis.ask("CONFIG", "SET", "maxmemory", "1")
        unavailable = [Refused(Refusal.UNAVAILABLE)] * 2
        assert await append(log, piece(position, 3), piece(position, 4)) == unavailable
        assert [seq for seq, _ in await stored(log, position.epoch)] == [1, 2]
        assert not log.reachable
        fresh_redis.ask("CONFIG", "SET", "maxmemory", "0")
        assert await append(log, piece(position, 3)) == [Appended(3)]


class TestSizes:
    async def test_numbers_are_whole_up_to_the_greatest_there_is(
        self, link_to: LinkTo, redis_url: str
    ) -> None:
        """Lua writes numbers of more than 14 digits otherwise, if it is let."""
        most = MAX_SAFE_INTEGER
        link = await link_to(redis_url)
        retention = Retention(idle_ms=most, age_ms=most)
        log, mail = RedisLog(link, retention), Mailbox()
        following = await log.follow(TALK, mail)
        position = await opened(log, {ANSWER: most - 1}, rows=most - 2)
        assert await log.fence(TALK, position.epoch, ANSWER, most) == Registered(0)
        batch = [row(position, most - 1), row(position, most), piece(position, 1, fence=most)]
        assert await append(log, *batch) == [Appended(1), Appended(2), Appended(3)]
        assert await append(log, row(position, most)) == [Appended(2, repeated=True)]
        await until(lambda: len(mail.entries()) == 3)
        assert [entry.ordinal for entry in mail.entries()] == [most - 1, most, 1]
        found = await log.read(TALK, position, 10)
        assert isinstance(found, Slice)
        assert list(found.entries) == mail.entries()
        following.close()

    async def test_a_head_may_be_as_great_as_numbers_are(
        self, link_to: LinkTo, redis_url: str
    ) -> None:
        """Far from there, but 15 digits are written like any."""
        link = await link_to(redis_url)
        log, mail = RedisLog(link, Retention(entries=2)), Mailbox()
        position = await opened(log)
        head = MAX_SAFE_INTEGER - 3
        await link.ask_about(
            link.names.of("log", TALK), "HSET", link.names.of("log", TALK), "h", head, "o", head
        )
        seen = Position(position.epoch, head)
        following = await log.follow(TALK, mail)
        batch = [row(seen, number) for number in (1, 2, 3)]
        assert await append(log, *batch) == [Appended(head + n) for n in (1, 2, 3)]
        assert await log.heads([TALK]) == {TALK: Position(position.epoch, head + 3)}
        found = await log.read(TALK, Position(position.epoch, head + 1), 10)
        assert isinstance(found, Slice)
        assert [entry.seq for entry in found.entries] == [head + 2, head + 3]
        await until(lambda: len(mail.entries()) == 3)
        following.close()

    async def test_an_epoch_may_know_very_many_answers(
        self, link_to: LinkTo, redis_url: str
    ) -> None:
        """More than Lua passes to a function at once."""
        log = RedisLog(await link_to(redis_url))
        position = await opened(log, {f"m_{n}": 1 for n in range(20_000)})
        assert await append(log, piece(position, 1, "m_19999")) == [Appended(1)]

    async def test_very_many_ordinals_may_be_forgotten_at_once(
        self, link_to: LinkTo, redis_url: str
    ) -> None:
        """The entries are searched once for all of them, for Redis does nothing else meanwhile."""
        log = RedisLog(await link_to(redis_url, timeout_s=1.0), Retention(entries=0))
        position = await opened(log, rows=5000)
        for first in range(1, 4001, 500):
            await append(log, *(piece(position, n) for n in range(first, first + 500)))
        asked = [row(position, number) for number in range(1, 501)]
        refused = Refused(Refusal.FORGOTTEN, Position(position.epoch, 4000), last=5000)
        assert await append(log, *asked) == [refused] * 500

    async def test_what_is_stored_of_a_source_is_found_after_a_search_in_vain(
        self, link_to: LinkTo, redis_url: str
    ) -> None:
        """A search remembers where a source begins, and no more."""
        log = RedisLog(await link_to(redis_url), Retention(entries=2))
        position = await opened(log)
        await append(log, *(row(position, number) for number in (1, 2, 3)))
        asked = [row(position, number) for number in (1, 2, 1, 3, 4, 4)]
        reasons = [
            each.seq if isinstance(each, Appended) else each.reason
            for each in await append(log, *asked)
        ]
        assert reasons == [Refusal.FORGOTTEN, 2, Refusal.FORGOTTEN, 3, 4, 4]


class Counted:
    """A link's calls, some of which get no reply."""

    def __init__(self, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[list[bytes]] = []
        self.fails: set[int] = set()
        self._call = link.call
        monkeypatch.setattr(link, "call", self)

    async def __call__(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> Any:
        packed = [each for each in arguments if isinstance(each, bytes)][
            1:
        ]  # what is asked is first
        entries = [msgspec.msgpack.decode(each) for each in packed]
        self.bodies.append([body for _, _, body in entries])
        if len(self.bodies) in self.fails:
            raise Unavailable("no reply")
        return await self._call(script, keys, arguments)


class TestBatches:
    async def test_a_big_batch_travels_in_several_calls_in_order(
        self, link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By number and by size: Redis does nothing else meanwhile."""
        monkeypatch.setattr(module, "APPENDS_AT_ONCE", 3)
        monkeypatch.setattr(module, "BYTES_AT_ONCE", 100)
        link = await link_to(redis_url)
        log = RedisLog(link)
        position = await opened(log)
        counted = Counted(link, monkeypatch)
        sizes = [1, 1, 1, 1, 200, 60, 60, 1]
        batch = [
            Append(TALK, ANSWER, 1, number, bytes([number]) * size, position)
            for number, size in enumerate(sizes, 1)
        ]
        assert await append(log, *batch) == [Appended(seq) for seq in range(1, 9)]
        assert [[each[0] for each in bodies] for bodies in counted.bodies] == [
            [1, 2, 3],
            [4],
            [5],
            [6],
            [7, 8],
        ]

    async def test_after_a_portion_without_reply_no_later_one_is_sent(
        self, link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been stored or not, so what follows it may be a gap."""
        monkeypatch.setattr(module, "APPENDS_AT_ONCE", 2)
        link = await link_to(redis_url)
        log = RedisLog(link)
        position = await opened(log)
        counted = Counted(link, monkeypatch)
        counted.fails = {2}
        batch = [piece(position, number) for number in range(1, 7)]
        unavailable = Refused(Refusal.UNAVAILABLE)
        assert await append(log, *batch) == [Appended(1), Appended(2), *[unavailable] * 4]
        assert len(counted.bodies) == 2
        repeated = [Appended(1, repeated=True), Appended(2, repeated=True)]
        assert await append(log, *batch) == [*repeated, *(Appended(n) for n in range(3, 7))]

    async def test_a_cluster_takes_a_batch_over_very_many_conversations(
        self, link_to: LinkTo, redis_cluster: RedisCluster
    ) -> None:
        """In as many calls as there are buckets, at few connections."""
        log = RedisLog(await link_to(redis_cluster.url(), connections=2))
        talks = [f"c_{n}" for n in range(600)]
        seen = {talk: await opened(log, conversation=talk) for talk in talks}
        batch = [Append(talk, ANSWER, 1, 1, b"x", seen[talk]) for talk in talks]
        assert await append(log, *batch) == [Appended(1)] * 600
        heads = await log.heads(talks)
        assert {position and position.seq for position in heads.values()} == {1}
        await log.drop(talks)


class TestNeighbours:
    @pytest.mark.parametrize("differ", ["prefix", "database"])
    async def test_two_installations_on_one_redis_do_not_hear_one_another(
        self, link_to: LinkTo, fresh_redis: Redis, differ: str
    ) -> None:
        """Nor see each other's logs, though their conversations may have one name."""
        own = await link_to(fresh_redis.url())
        database, options = (1, {}) if differ == "database" else (0, {"prefix": "neighbour"})
        neighbour = await link_to(fresh_redis.url(database), **options)
        log, theirs, mail = RedisLog(own), RedisLog(neighbour), Mailbox()
        following = await log.follow(TALK, mail)
        position = await opened(theirs)
        await say(theirs, position, range(1, 3))
        await theirs.drop([TALK])
        assert await log.heads([TALK]) == {TALK: None}
        mine = await opened(log)
        await append(log, row(mine, 1))
        await until(mail.entries)
        assert [entry.source for entry in mail.entries()] == [ROWS]
        assert mail.deliveries.count(Doubt()) == 1, "of the own epoch"
        following.close()


class TestLooking:
    async def test_what_is_out_of_reach_is_left_out(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """It is not the same as no log; all others say that the store is unavailable."""
        log = RedisLog(await link_to(fresh_redis.url()))
        position = await opened(log)
        answered = [log.reachable]
        fresh_redis.kill9()
        assert await log.heads([TALK]) == {}
        assert [*answered, log.reachable] == [True, False]
        for asked in (log.read(TALK, position, 1), log.watched([TALK]), log.drop([TALK])):
            with pytest.raises(Unavailable):
                await asked
        with pytest.raises(Unavailable):
            await log.open(TALK, None, 0, {})

    async def test_a_look_is_paged(
        self, link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody waits for the heads of thousands."""
        link = await link_to(redis_url)
        log = RedisLog(link)
        counted = Counted(link, monkeypatch)
        names = [f"c_{n}" for n in range(1200)]
        assert await log.heads(names) == dict.fromkeys(names)
        assert len(counted.bodies) == 3

    async def test_who_asks_while_others_are_answered_shares_the_next_look(
        self, link_to: LinkTo, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Thousands who come back at once would else make as many calls."""
        link = await link_to(redis_url)
        log, gate, looks = RedisLog(link), asyncio.Event(), []
        call = link.call

        async def slow(script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
            looks.append(len(keys) // 2)
            await gate.wait()
            return await call(script, keys, arguments)

        def begun(times: int) -> bool:
            return len(looks) == times

        monkeypatch.setattr(link, "call", slow)
        asking = []
        for number in range(10):
            asking.append(asyncio.create_task(log.heads([f"c_{number}"])))
            await until(partial(begun, min(number + 1, module.LOOKS_AT_ONCE)))
        gate.set()
        found = await asyncio.gather(*asking)
        assert found == [{f"c_{number}": None} for number in range(10)]
        assert looks == [1, 1, 8]
