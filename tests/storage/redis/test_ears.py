"""All channels that are listened to, each where it is heard."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.connection import AbstractConnection

from storage.errors import Unavailable
from storage.redis import line as module
from storage.redis.ears import Ears
from storage.redis.link import Link
from storage.redis.roundtrip import SAY
from tests.storage.redis.conftest import LinkTo
from tests.storage.redis.peers import Peers, Receiver
from tests.support.redises import RedisCluster
from tests.support.services import Redis
from tests.support.waiting import PATIENCE_S, until


class Places:
    """Servers that channels are at, and move between."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}
        self.peers: dict[str, Peers] = {"one": Peers(), "other": Peers()}
        self.looks = 0
        self.ears = Ears(lambda name: self.of[name], self._connect, self._look, sharded=True)

    async def _connect(self, place: str) -> AbstractConnection:
        return await self.peers[place].connect()

    async def _look(self) -> None:
        self.looks += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses before a connection is made again are no part of what is tested."""
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.001)


@pytest.fixture
async def places() -> AsyncIterator[Places]:
    places = Places()
    yield places
    await places.ears.close()


class TestPlaces:
    async def test_each_channel_is_heard_where_it_is(self, places: Places) -> None:
        """One connection to each server, however many channels."""
        places.of = {"a": "one", "b": "other", "c": "one"}
        for name in places.of:
            await places.ears.hear(name, Receiver()).sure(PATIENCE_S)
        told = {
            name: [w for p in peers.made for w in p.told] for name, peers in places.peers.items()
        }
        assert told == {
            "one": [("SSUBSCRIBE", "a"), ("SSUBSCRIBE", "c")],
            "other": [("SSUBSCRIBE", "b")],
        }

    async def test_a_channel_that_moved_is_heard_at_its_new_place(self, places: Places) -> None:
        """And who listened is told that something may have been missed; the others stay."""
        places.of = {"a": "one", "b": "one"}
        moves, stays = Receiver(), Receiver()
        for name, receiver in (("a", moves), ("b", stays)):
            await places.ears.hear(name, receiver).sure(PATIENCE_S)
        places.of["a"] = "other"
        places.peers["one"].now.push(b"sunsubscribe", b"a", b"0")
        await until(lambda: moves.heard and stays.heard)
        places.peers["other"].now.push(b"smessage", b"a", b"x")
        places.peers["one"].now.push(b"smessage", b"b", b"y")
        await until(lambda: len(moves.heard) == len(stays.heard) == 2)
        assert moves.heard == [None, b"x"]
        assert stays.heard == [None, b"y"]
        assert places.looks == 1

    async def test_who_waits_for_a_channel_that_moves_is_sure_at_its_new_place(
        self, places: Places
    ) -> None:
        """It was promised nothing at the old one, so nothing was missed either."""
        places.of = {"a": "one"}
        places.peers["one"].holds = True
        receiver = Receiver()
        hearing = places.ears.hear("a", receiver)
        waits = asyncio.create_task(hearing.sure(PATIENCE_S))
        await until(lambda: places.peers["one"].made and places.peers["one"].now.told)
        assert not waits.done()
        places.of["a"] = "other"
        places.peers["one"].now.cut()
        await waits
        assert receiver.heard == []

    async def test_a_channel_that_returns_while_it_is_released_is_heard(
        self, places: Places
    ) -> None:
        """The server's late yes and no are told from those that count."""
        places.of = {"a": "other", "b": "other"}
        other = places.peers["other"]
        keeps = places.ears.hear("b", Receiver())
        leaves = places.ears.hear("a", Receiver())
        await keeps.sure(PATIENCE_S)
        await leaves.sure(PATIENCE_S)
        other.now.holds = True
        leaves.close()
        await until(lambda: other.now.told[-1] == ("SUNSUBSCRIBE", "a"))
        places.of["a"] = "one"
        receiver = Receiver()
        await places.ears.hear("a", receiver).sure(PATIENCE_S)
        places.of["a"] = "other"
        places.peers["one"].now.cut()
        await until(lambda: other.now.told[-1] == ("SSUBSCRIBE", "a"))
        other.now.release()
        await until(lambda: receiver.heard)
        assert receiver.heard == [None]
        assert len(other.made) == 1


class TestHearings:
    async def test_who_is_not_confirmed_in_time_is_told_so(self, places: Places) -> None:
        """And may go on waiting, or close."""
        places.of = {"a": "one"}
        places.peers["one"].away = True
        hearing = places.ears.hear("a", Receiver())
        with pytest.raises(Unavailable, match="did not confirm"):
            await hearing.sure(0.001)
        places.peers["one"].away = False
        await hearing.sure(PATIENCE_S)

    async def test_closing_twice_is_closing_once(self, places: Places) -> None:
        """The second hearing of a channel outlives the first."""
        places.of = {"a": "one"}
        one, other = Receiver(), Receiver()
        first, second = (places.ears.hear("a", each) for each in (one, other))
        await first.sure(PATIENCE_S)
        for _ in range(2):
            first.close()
            first.again()
        places.peers["one"].now.push(b"smessage", b"a", b"x")
        await until(lambda: other.heard)
        assert one.heard == []
        second.close()

    @pytest.mark.parametrize("cut", [False, True])
    async def test_of_what_nobody_hears_any_more_nothing_is_kept(
        self, places: Places, cut: bool
    ) -> None:
        """Whether it was left while the server was there, or while it was not."""
        places.of = {f"c{n}": "one" for n in range(100)}
        hearings = [places.ears.hear(name, Receiver()) for name in places.of]
        for hearing in hearings:
            await hearing.sure(PATIENCE_S)
        (line,) = places.ears._lines.values()
        if cut:
            places.peers["one"].away = True
            places.peers["one"].now.cut()
            await until(lambda: places.peers["one"].tries > 1)
        for hearing in hearings:
            hearing.close()
        assert places.ears._where == {}
        await until(lambda: line.channels == {})

    async def test_closing_ends_lines_that_come_to_be_meanwhile(self, places: Places) -> None:
        """A channel may move in that moment."""
        tasks = asyncio.all_tasks()
        places.of = {"a": "one", "b": "one"}
        for name in places.of:
            await places.ears.hear(name, Receiver()).sure(PATIENCE_S)
        places.of["a"] = "other"
        places.peers["one"].now.cut()
        await places.ears.close()
        assert asyncio.all_tasks() <= tasks
        assert all(each.closed for peers in places.peers.values() for each in peers.made)


class TestRealServers:
    async def test_a_connection_that_is_killed_is_made_again(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Its channels are heard, and who listened is told."""
        link, receiver = await link_to(fresh_redis.url()), Receiver()
        await link.ears.hear("a", receiver).sure(PATIENCE_S)
        fresh_redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: receiver.heard)
        await say(link, "a", b"x")
        await until(lambda: len(receiver.heard) == 2)
        assert receiver.heard == [None, b"x"]

    async def test_a_server_that_hangs_and_goes_on_is_heard_again(
        self, link_to: LinkTo, fresh_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its connection was given up meanwhile."""
        monkeypatch.setattr(module, "PING_S", 0.05)
        link, receiver = await link_to(fresh_redis.url()), Receiver()
        await link.ears.hear("a", receiver).sure(PATIENCE_S)
        (line,) = link.ears._lines.values()
        with fresh_redis.stop_cont():
            await until(lambda: not line.channels[b"a"].asked)
        await until(lambda: receiver.heard)
        await say(link, "a", b"x")
        await until(lambda: receiver.heard[-1] == b"x")

    async def test_ten_thousand_channels_come_back(
        self, link_to: LinkTo, fresh_redis: Redis
    ) -> None:
        """Each is told once."""
        link, receiver = await link_to(fresh_redis.url()), Receiver()
        hearings = [link.ears.hear(f"c{n}", receiver) for n in range(10_000)]
        for hearing in hearings:
            await hearing.sure(PATIENCE_S)
        fresh_redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: len(receiver.heard) == 10_000)
        assert set(receiver.heard) == {None}

    async def test_a_slot_that_moves_takes_its_channels_along(self, link_to: LinkTo) -> None:
        """They are heard at the new node, and those of other slots go on."""
        with RedisCluster() as cluster:
            link, moves, stays = await link_to(cluster.url()), Receiver(), Receiver()
            slot = int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", "{1}"))
            owner = cluster.node_of("{1}")
            taker = next(node for node in cluster.nodes if node is not owner)
            neighbour = next(key for n in range(99) if cluster.node_of(key := f"{{{n}}}") is taker)
            await link.ears.hear("{1}a", moves).sure(PATIENCE_S)
            await link.ears.hear(neighbour, stays).sure(PATIENCE_S)
            name = taker.ask("CLUSTER", "MYID")
            for node in (taker, owner, *cluster.nodes):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)
            await until(lambda: moves.heard)
            await say(link, "{1}a", b"x")
            await say(link, neighbour, b"y")
            await until(lambda: len(moves.heard) == 2 and stays.heard)
            assert moves.heard == [None, b"x"]
            assert stays.heard == [b"y"]
            channels = taker.ask("PUBSUB", "SHARDCHANNELS")
            assert sorted(channels) == sorted(["{1}a", neighbour])


async def say(link: Link, channel: str, word: bytes) -> None:
    await link.call(SAY, [channel], [link.publish, word])
