"""The way to Redis: what fails, fails in time and by one name, and what comes back is found."""

import asyncio
import hashlib
import traceback
from typing import Any

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as Gone

from storage.errors import Unavailable, Unsupported
from storage.redis import link as module
from storage.redis.link import Argument, open_link
from storage.redis.options import Options
from storage.redis.scripts import Script
from storage.redis.sessions import RedisSeats
from storage.redis.way import Way
from storage.sessions import Session
from storage.values import Owner
from tests.storage.redis.conftest import LinkTo
from tests.support.chaos import chaos
from tests.support.redises import RedisCluster
from tests.support.services import LOOPBACK, Redis, free_port
from tests.support.waiting import PATIENCE_S, pause, until

ECHO = Script("about")
SECRET = "s3cr3t"


class Save(Script):
    """Writes, and so shows who takes writes."""

    def __init__(self) -> None:
        super().__init__("say")
        self.text = "return redis.call('SET', KEYS[1], ARGV[1])"
        self.sum = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


SAVE = Save()


async def saves(link: module.Link, key: str = "{1}") -> bool:
    try:
        await link.call(SAVE, [key], ["x"])
    except Unavailable:
        return False
    return True


async def until_it_saves(link: module.Link, key: str = "{1}") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await saves(link, key):
            await pause()


async def lost(*_: object, **__: object) -> None:
    """Instead of what asks: the connection is gone."""
    raise ConnectionResetError


def clients(server: Redis) -> int:
    """How many are connected, with the one that asks."""
    return len(server.ask("CLIENT LIST"))


class TestOpening:
    async def test_an_address_where_nobody_listens_says_so(self) -> None:
        """Which server, and which setting it came from; not what it took to get in."""
        url = f"redis://user:{SECRET}@{LOOPBACK}:{free_port()}/0"
        with pytest.raises(Unavailable) as caught:
            async with open_link(url):
                raise AssertionError
        assert "REDIS_URL" in str(caught.value)
        assert LOOPBACK in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    async def test_a_wrong_password_says_so_and_is_in_no_text(self, redis_server: Redis) -> None:
        """Nor in that of its causes."""
        url = f"redis://user:{SECRET}@{LOOPBACK}:{redis_server.port}/0"
        with pytest.raises(Unavailable, match="AuthenticationError") as caught:
            async with open_link(url):
                raise AssertionError
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize(
        "url", ["http://x", f"redis://:{SECRET}/x@{LOOPBACK}:6379/0", "redis://x:port"]
    )
    async def test_what_is_no_address_is_refused(self, url: str) -> None:
        """A password with a slash is cut to pieces, and none of them is shown."""
        with pytest.raises(Unsupported) as caught:
            async with open_link(url):
                raise AssertionError
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    async def test_a_cluster_has_no_databases(self, redis_cluster: RedisCluster) -> None:
        """So none can be asked for."""
        with pytest.raises(Unavailable, match="SELECT is not allowed in cluster mode"):
            async with open_link(redis_cluster.nodes[0].url(3)):
                raise AssertionError

    @pytest.mark.parametrize(
        ("version", "cluster"), [("6.0.16", False), ("5.0", False), ("6.2.14", True)]
    )
    def test_a_server_that_is_too_old_is_refused(self, version: str, cluster: bool) -> None:
        """It would fail later, and less clearly."""
        with pytest.raises(Unsupported, match=version):
            module._examine(version, cluster=cluster)

    @pytest.mark.parametrize(
        ("version", "cluster"), [("6.2.0", False), ("7.0.0", True), ("10.1", True), ("", False)]
    )
    def test_a_server_that_is_new_enough_is_taken(self, version: str, cluster: bool) -> None:
        """And one that does not tell."""
        module._examine(version, cluster=cluster)

    async def test_it_does_not_say_where_it_leads(self, link_to: LinkTo, redis_url: str) -> None:
        """An address may hold a password."""
        assert repr(await link_to(redis_url)) == "<Link server reachable=True>"


class TestFailing:
    async def test_a_server_that_hangs_fails_a_call_within_its_time_out(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """And the breaker spares the next ones; whether the first was done is not known."""
        link = await link_to(fresh_redis.url(), timeout_s=0.1, pause_s=5.0)
        await until_it_saves(link)
        with fresh_redis.stop_cont():
            for _ in range(2):
                with pytest.raises(Unavailable, match="did not answer") as caught:
                    await link.call(SAVE, ["{1}"], ["x"])
                assert caught.value.outcome_unknown
            with pytest.raises(Unavailable, match="a moment ago") as caught:
                await link.call(SAVE, ["{1}"], ["x"])
            assert not caught.value.outcome_unknown
            assert not link.reachable

    async def test_while_a_server_hangs_no_call_waits_for_it(
        self, link_to: LinkTo, fresh_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One in the background tries whether it is over, and is the first to know."""
        link = await link_to(fresh_redis.url(), timeout_s=0.1)
        await until_it_saves(link)
        asked: list[object] = []
        ask = link._client.execute_command

        async def listened(*command: Any, **options: Any) -> Any:
            asked.append(command[0])
            return await ask(*command, **options)

        with fresh_redis.stop_cont():
            for _ in range(2):
                assert not await saves(link)
            monkeypatch.setattr(link._client, "execute_command", listened)
            async with asyncio.timeout(PATIENCE_S):
                while len(asked) < 3:
                    assert not await saves(link)
                    await pause()
        await until(lambda: link.reachable)
        assert set(asked) == {"EXISTS"}
        assert await saves(link)
        assert not link._way("").awaited

    async def test_connections_that_died_in_the_pool_do_not_fail_one_call_each(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Once the breaker is open they are left, and the call that tries makes its own."""
        link = await link_to(fresh_redis.url(), timeout_s=0.1)
        await asyncio.gather(*(saves(link) for _ in range(10)))
        with fresh_redis.stop_cont():
            await asyncio.gather(saves(link), saves(link))
            assert not link.reachable
            pool = link._client.connection_pool  # type: ignore[union-attr]  # it is no Cluster
            async with asyncio.timeout(PATIENCE_S):
                while any(each.is_connected for each in pool._available_connections):
                    await saves(link)
                    await pause()
        await until_it_saves(link)

    async def test_connections_that_were_reset_in_the_pool_fail_one_call_together(
        self, link_to: LinkTo, redis_server: Redis
    ) -> None:
        """Whatever was between cut them all: the first that meets it has the others made anew."""
        async with chaos(redis_server.port) as between:
            link = await link_to(f"redis://{LOOPBACK}:{between.port}")
            for _ in range(3):  # however soon one comes after the other
                calls = [link.call(ECHO, [f"k{number}"], []) for number in range(8)]
                assert len(await asyncio.gather(*calls)) == 8
                between.cut()
                await until(lambda: len(between) == 0)
                for _ in range(3):
                    await pause()
                with pytest.raises(Unavailable):
                    await link.call(ECHO, ["k"], [])
                await until(lambda: link.reachable)

    async def test_after_a_restart_calls_are_answered_again(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Also the first one, which finds the breaker open and its script forgotten."""
        link = await link_to(fresh_redis.url())
        await until_it_saves(link)
        fresh_redis.kill9()
        assert not await saves(link)
        assert not link.reachable
        fresh_redis.start()
        await until_it_saves(link)
        assert link.reachable

    async def test_scripts_that_the_server_forgot_are_sent_again(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Without the caller's noticing."""
        link = await link_to(fresh_redis.url())
        for _ in range(2):
            assert await saves(link)
            fresh_redis.ask("SCRIPT", "FLUSH")

    async def test_out_of_memory_is_unavailable_and_not_the_breakers_business(
        self, link_to: LinkTo, fresh_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What only reads goes on, and an open breaker learns that somebody is there."""
        link = await link_to(fresh_redis.url())
        await until_it_saves(link)
        fresh_redis.ask("CONFIG", "SET", "maxmemory", "1")
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"refused: .*(OOM|maxmemory)"):
                await link.call(SAVE, ["{1}"], ["x"])
            assert not link._way("").breaker.is_open
        await link.call(ECHO, ["{1}"], [])
        with monkeypatch.context() as patch:
            patch.setattr(link._client, "execute_command", lost)
            assert not await saves(link)
            assert link._way("").breaker.is_open
        await until(lambda: not link._way("").breaker.is_open)

    async def test_a_server_without_memory_counts_as_away_until_it_has_some(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Or messages would be taken whose answers nobody could be shown."""
        link = await link_to(fresh_redis.url())
        await until_it_saves(link)
        fresh_redis.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable):
            await link.call(SAVE, ["{1}"], ["x"])
        assert not link.reachable
        await link.call(ECHO, ["{1}"], [])
        assert not link.reachable
        fresh_redis.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: link.reachable)

    @pytest.mark.parametrize(
        ("setting", "why"),
        [("maxmemory", "used memory"), ("min-replicas-to-write", "replicas")],
    )
    async def test_why_a_server_does_not_serve_is_told_once(
        self, fresh_redis: Redis, setting: str, why: str
    ) -> None:
        """Each call that fails says so to its caller alone; and its end is told."""
        told: list[tuple[str, str | None]] = []
        async with open_link(fresh_redis.url(), None, lambda *state: told.append(state)) as link:
            await until_it_saves(link)
            fresh_redis.ask("CONFIG", "SET", setting, "1")
            for _ in range(3):
                assert not await saves(link)
                await link.call(ECHO, ["{1}"], [])
            assert not link.reachable
            fresh_redis.ask("CONFIG", "SET", setting, "0")
            await until_it_saves(link)
            await until(lambda: link.reachable)
        (server, first), *rest = told
        assert server == ""
        assert first is not None
        assert why in first
        assert rest == [("", None)]

    async def test_a_server_that_was_demoted_is_looked_for_anew(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Its name may lead to another one now: calls and, once that stores, ears connect again."""
        link = await link_to(fresh_redis.url())
        heard: list[bytes | None] = []
        hearing = link.ears.hear("x", heard.append)
        await hearing.sure(PATIENCE_S)
        await until_it_saves(link)
        fresh_redis.ask("REPLICAOF", LOOPBACK, free_port())
        with pytest.raises(Unavailable, match="refused"):
            await link.call(SAVE, ["{1}"], ["x"])
        assert not link.reachable
        fresh_redis.ask("REPLICAOF", "NO", "ONE")
        await until_it_saves(link)
        await until(lambda: heard == [None])
        assert link.reachable

    async def test_a_call_that_is_cancelled_leaves_no_answer_for_the_next(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Its connection is not used again."""
        link = await link_to(fresh_redis.url())
        await until_it_saves(link)
        for turn in range(20):
            task = asyncio.create_task(link.ask_of("x", "ECHO", "late"))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.result() == b"late"
            assert await link.ask_of("x", "ECHO", str(turn)) == str(turn).encode()

    async def test_more_calls_than_connections_wait_for_their_turn(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """The server is not given more connections than the option says."""
        link = await link_to(fresh_redis.url(), connections=3)
        assert all(await asyncio.gather(*(saves(link) for _ in range(100))))
        assert clients(fresh_redis) - 1 <= 3

    async def test_a_closed_link_leaves_nothing(self, prefix: str, fresh_redis: Redis) -> None:
        """No connection, no task, and no way back."""
        tasks = asyncio.all_tasks()
        async with open_link(fresh_redis.url(), Options(prefix=prefix)) as link:
            link.start(asyncio.Event().wait())
            await link.ears.hear("x", lambda _: None).sure(PATIENCE_S)
            await until_it_saves(link)
        await until(lambda: clients(fresh_redis) == 1)
        assert asyncio.all_tasks() <= tasks
        assert link.start(asyncio.Event().wait()) is None
        assert not await saves(link)
        assert clients(fresh_redis) == 1


class TestCluster:
    async def test_very_many_calls_at_once_wait_for_their_turn(
        self, link_to: LinkTo, redis_cluster: RedisCluster
    ) -> None:
        """One for each bucket in a tick is usual, and a node has few connections."""
        link = await link_to(redis_cluster.url(), connections=2)
        keys = [f"{{{number}}}" for number in range(256)]
        done = await asyncio.gather(*(link.call(SAVE, [key], ["x"]) for key in keys))
        assert done == [b"OK"] * 256
        assert link.reachable

    async def test_a_node_that_is_away_takes_no_call_from_the_others(self, link_to: LinkTo) -> None:
        """Each has a breaker of its own; and when it is back it is asked again."""
        with RedisCluster(cluster_require_full_coverage="no") as cluster:
            link = await link_to(cluster.url(), pause_s=5.0)
            keys = {cluster.node_of(f"{{{n}}}").port: f"{{{n}}}" for n in range(64)}
            gone, stays = cluster.nodes[1], cluster.nodes[2]
            gone.kill9()
            assert not await saves(link, keys[gone.port])
            assert all([await saves(link, keys[stays.port]) for _ in range(20)])
            assert link.reachable

    async def test_a_node_that_hangs_takes_no_call_from_the_others(self, link_to: LinkTo) -> None:
        """Nor does looking for whom its slots belong to now."""
        with RedisCluster() as cluster:
            link = await link_to(cluster.url(), timeout_s=0.3, pause_s=5.0)
            keys = {cluster.node_of(f"{{{n}}}").port: f"{{{n}}}" for n in range(64)}
            hangs, *others = cluster.nodes
            for key in keys.values():
                await until_it_saves(link, key)
            with hangs.stop_cont():
                assert not any([await saves(link, keys[hangs.port]) for _ in range(2)])
                assert link._way(link._place(keys[hangs.port])).breaker.is_open
                for node in others:
                    await until_it_saves(link, keys[node.port])
                assert link.reachable

    async def test_while_a_node_hangs_no_call_waits_for_it(
        self, link_to: LinkTo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or a batch with something for each node would take its time-out, again and again."""
        with RedisCluster(cluster_require_full_coverage="no") as cluster:
            link = await link_to(cluster.url(), timeout_s=0.3)
            keys = {cluster.node_of(f"{{{n}}}").port: f"{{{n}}}" for n in range(64)}
            hangs = cluster.nodes[0].port
            for key in keys.values():
                await until_it_saves(link, key)
            asked: list[str] = []
            there = link._ask_there

            async def listened(place: str, way: Way, *command: Argument, **options: object) -> Any:
                if place.endswith(f":{hangs}"):
                    asked.append(str(command[0]))
                return await there(place, way, *command, **options)

            with cluster.nodes[0].stop_cont():
                for _ in range(2):
                    assert not await saves(link, keys[hangs])
                monkeypatch.setattr(link, "_ask_there", listened)
                async with asyncio.timeout(PATIENCE_S):
                    while len(asked) < 3:
                        done = await asyncio.gather(*(saves(link, key) for key in keys.values()))
                        assert done == [port != hangs for port in keys]
                        await pause()
            assert set(asked) == {"EXISTS"}
            await until_it_saves(link, keys[hangs])

    async def test_each_call_is_that_of_a_node(
        self, link_to: LinkTo, redis_cluster: RedisCluster
    ) -> None:
        """Or one of no node's would seem to be reachable when all nodes are gone."""
        link = await link_to(redis_cluster.url())
        seats = RedisSeats(link, "one")
        await seats.keep(1)
        await seats.put({Owner("t", "ann"): [Session("s-1", 1)]})
        assert len((await seats.all("t")).seats) == 1
        assert set(link._ways) <= {f"{LOOPBACK}:{node.port}" for node in redis_cluster.nodes}

    async def test_a_call_whose_answer_is_lost_is_not_made_again(
        self, link_to: LinkTo, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been done: a ticket that is taken twice was stolen, and a rate counts."""
        link = await link_to(redis_cluster.url())
        key = link.names.of("sum", "x")
        answers, cuts = ClusterNode.parse_response, iter([True])

        async def cut_once(node: ClusterNode, connection: Any, *given: Any, **more: Any) -> Any:
            answer = await answers(node, connection, *given, **more)
            if next(cuts, False):
                await connection.disconnect()
                raise Gone("cut")
            return answer

        monkeypatch.setattr(ClusterNode, "parse_response", cut_once)
        with pytest.raises(Unavailable):
            await link.ask_about(key, "INCR", key)
        await until(lambda: link.reachable)
        assert await link.ask_about(key, "GET", key) == b"1"

    async def test_a_cluster_that_is_gone_is_unavailable_and_comes_back(
        self, link_to: LinkTo
    ) -> None:
        """Whatever its client calls that; and what was listened to is heard again."""
        with RedisCluster() as cluster:
            link = await link_to(cluster.url())
            heard: list[bytes | None] = []
            hearing = link.ears.hear("{1}x", heard.append)
            await hearing.sure(PATIENCE_S)
            await until_it_saves(link)
            for node in cluster.nodes:
                node.kill9()
            for _ in range(5):
                assert not await saves(link)
            assert not link.reachable
            for node in cluster.nodes:
                node.start()
            await until_it_saves(link)
            await until(lambda: heard[:1] == [None])

    async def test_a_slot_that_nobody_has_is_unavailable(self, link_to: LinkTo) -> None:
        """Ears wait for whom it will belong to, and calls fail."""
        with RedisCluster(cluster_require_full_coverage="no") as cluster:
            key = "{1}"
            slot = int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key))
            owner = cluster.node_of(key)
            link = await link_to(cluster.url())
            await until_it_saves(link, key)
            owner.ask("DEL", key)
            owner.ask("CLUSTER", "DELSLOTS", slot)
            assert not await saves(link, key)
            await link._look()
            assert not await saves(link, key)
            heard: list[bytes | None] = []
            hearing = link.ears.hear(f"{key}x", heard.append)
            with pytest.raises(Unavailable):
                await hearing.sure(0.05)
            owner.ask("CLUSTER", "ADDSLOTS", slot)
            await hearing.sure(PATIENCE_S)
            await until_it_saves(link, key)
