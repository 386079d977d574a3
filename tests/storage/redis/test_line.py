"""A connection that only listens: what is wanted is heard, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ResponseError

from storage.redis import line as module
from storage.redis.line import Line
from tests.storage.redis.peers import Peers, Receiver
from tests.support.waiting import PATIENCE_S, pause, until

TALK = b"talk"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses before a connection is made again are no part of what is tested."""
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.001)


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
async def line(peers: Peers) -> AsyncIterator[Line]:
    async def cut(_: Line) -> None: ...

    line = Line(peers.connect, cut, sharded=False)
    yield line
    await line.close()


def sure(line: Line) -> bool:
    return line.channels[TALK].sure.is_set()


async def listening(line: Line) -> Receiver:
    """A receiver that hears the channel by now."""
    receiver = Receiver()
    line.want(TALK, receiver)
    await until(lambda: sure(line))
    return receiver


class TestWishes:
    async def test_what_comes_on_a_channel_reaches_all_its_receivers(
        self, line: Line, peers: Peers
    ) -> None:
        """And nothing that comes on another."""
        one, other = await listening(line), await listening(line)
        peers.now.push(b"message", TALK, b"a")
        peers.now.push(b"message", b"elsewhere", b"b")
        peers.now.push(b"message", TALK, b"c")
        await until(lambda: len(one.heard) == 2)
        assert one.heard == other.heard == [b"a", b"c"]
        assert peers.now.told == [("SUBSCRIBE", "talk")]

    async def test_a_sharded_line_speaks_of_shards(self, peers: Peers) -> None:
        """A Cluster has other words for the same."""

        async def cut(_: Line) -> None: ...

        line = Line(peers.connect, cut, sharded=True)
        receiver = await listening(line)
        peers.now.push(b"smessage", TALK, b"a")
        await until(lambda: receiver.heard)
        assert peers.now.told == [("SSUBSCRIBE", "talk")]
        await line.close()

    async def test_a_command_to_a_cluster_is_about_one_slot(self, peers: Peers) -> None:
        """It would refuse any other."""

        async def cut(_: Line) -> None: ...

        line = Line(peers.connect, cut, sharded=True)
        for name in (b"p:{1}:a", b"p:{2}:a", b"p:{1}:b"):
            line.want(name, Receiver())
        await until(lambda: all(each.sure.is_set() for each in line.channels.values()))
        assert peers.now.told == [
            ("SSUBSCRIBE", "p:{1}:a", "p:{1}:b"),
            ("SSUBSCRIBE", "p:{2}:a"),
        ]
        await line.close()

    async def test_left_by_the_last_receiver_a_channel_is_forgotten(
        self, line: Line, peers: Peers
    ) -> None:
        """Here and at the server."""
        one, other = await listening(line), await listening(line)
        assert line.leave(TALK, one) == 1
        assert line.leave(TALK, other) == 0
        await until(lambda: TALK not in line.channels)
        assert peers.now.told == [("SUBSCRIBE", "talk"), ("UNSUBSCRIBE", "talk")]

    async def test_leaving_and_coming_back_in_one_turn_loses_nothing(
        self, line: Line, peers: Peers
    ) -> None:
        """The server is told nothing, so it sends on."""
        one = await listening(line)
        line.leave(TALK, one)
        line.want(TALK, one)
        assert sure(line)
        peers.now.push(b"message", TALK, b"a")
        await until(lambda: one.heard)
        assert peers.now.told == [("SUBSCRIBE", "talk")]

    async def test_a_yes_from_before_an_unsubscription_says_nothing(
        self, line: Line, peers: Peers
    ) -> None:
        """Sure is who was told so after the latest wish."""
        peers.holds = True
        first, second = Receiver(), Receiver()
        line.want(TALK, first)
        await until(lambda: peers.made and len(peers.now.told) == 1)
        line.leave(TALK, first)
        await until(lambda: len(peers.now.told) == 2)
        line.want(TALK, second)
        await until(lambda: len(peers.now.told) == 3)
        verbs = [words[0] for words in peers.now.told]
        assert verbs == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
        for _ in range(3):  # the PING's answer was the first, and two of these
            peers.now.release(1)
            peers.now.push(b"message", TALK, b"x")
            second.heard.clear()
            await until(lambda: second.heard)
            assert second.heard == [b"x"]
            assert not sure(line)
        peers.now.release()
        await until(lambda: sure(line))
        assert len(peers.made) == 1

    async def test_very_many_channels_are_asked_for_in_pages(
        self, line: Line, peers: Peers
    ) -> None:
        """One command with all of them would hold the server up."""
        receiver = Receiver()
        for number in range(2500):
            line.want(f"c{number}".encode(), receiver)
        await until(lambda: all(each.sure.is_set() for each in line.channels.values()))
        assert [len(words) - 1 for words in peers.now.told] == [1000, 1000, 500]


class TestCuts:
    async def test_a_connection_that_is_cut_is_made_again_and_its_channels_are_heard(
        self, line: Line, peers: Peers
    ) -> None:
        """Who listened is told that something may have been missed, and told before what comes."""
        receiver = await listening(line)
        first = peers.now
        first.cut()
        await until(lambda: receiver.heard)
        peers.now.push(b"message", TALK, b"a")
        await until(lambda: len(receiver.heard) == 2)
        assert receiver.heard == [None, b"a"]
        assert first.closed
        assert peers.now.told == [("SUBSCRIBE", "talk")]

    async def test_who_was_not_sure_yet_has_missed_nothing(self, line: Line, peers: Peers) -> None:
        """It was promised nothing before."""
        peers.holds = True
        receiver = Receiver()
        line.want(TALK, receiver)
        await until(lambda: peers.made and peers.now.told)
        peers.holds = False
        peers.now.cut()
        await until(lambda: sure(line))
        assert receiver.heard == []

    async def test_a_server_that_is_away_is_tried_again(self, line: Line, peers: Peers) -> None:
        """For as long as somebody wants to listen."""
        peers.away = True
        receiver = Receiver()
        line.want(TALK, receiver)
        await until(lambda: peers.tries >= 3)
        peers.away = False
        await until(lambda: sure(line))

    async def test_a_channel_left_while_away_is_not_asked_for_and_not_sure(
        self, line: Line, peers: Peers
    ) -> None:
        """What was heard once says nothing of a later subscription."""
        receiver = await listening(line)
        line.want(b"other", receiver)
        peers.away = True
        peers.now.cut()
        await until(lambda: peers.tries > 2)
        line.leave(TALK, receiver)
        assert TALK not in line.channels
        line.want(TALK, receiver)
        assert not sure(line)
        line.leave(TALK, receiver)
        peers.away = False
        await until(line.channels[b"other"].sure.is_set)
        assert peers.now.told == [("SUBSCRIBE", "other")]

    async def test_a_line_without_channels_is_not_made_again(
        self, line: Line, peers: Peers
    ) -> None:
        """A node that left the Cluster would be looked for for ever. A later wish begins anew."""
        receiver = await listening(line)
        line.leave(TALK, receiver)
        await until(lambda: not line.channels)
        peers.now.cut()
        task = line._task
        assert task is not None
        await until(task.done)
        assert peers.tries == 1
        await listening(line)
        assert peers.tries == 2

    async def test_a_silent_connection_is_given_up(
        self, line: Line, peers: Peers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A peer that vanished without a word would be silent for ever."""
        monkeypatch.setattr(module, "PING_S", 0.01)
        receiver = await listening(line)
        peers.now.mute = True
        await until(lambda: receiver.heard)
        assert receiver.heard == [None]
        assert peers.made[0].closed

    async def test_a_connection_that_takes_nothing_is_given_up(
        self, line: Line, peers: Peers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A peer that hangs does not even read, and then no ping is unanswered: none is sent."""
        monkeypatch.setattr(module, "PING_S", 0.01)
        receiver = await listening(line)
        peers.now.full = True
        await until(lambda: receiver.heard)
        assert peers.made[0].closed

    async def test_a_connection_that_speaks_is_kept(
        self, line: Line, peers: Peers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever it says."""
        monkeypatch.setattr(module, "PING_S", 0.005)
        receiver = await listening(line)
        for _ in range(20):
            peers.now.push(b"message", TALK, b"a")
            await until(lambda: receiver.heard.pop() if receiver.heard else None)
        assert len(peers.made) == 1

    async def test_a_server_whose_disk_is_full_is_heard_on(
        self, line: Line, peers: Peers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It refuses even a ping, and that is an answer."""
        monkeypatch.setattr(module, "PING_S", 0.005)
        receiver = await listening(line)
        peers.now.pong = ResponseError("MISCONF Redis is configured to save RDB snapshots, but")
        pings = peers.now.pings
        await until(lambda: peers.now.pings > pings + 20)
        peers.now.push(b"message", TALK, b"a")
        await until(lambda: receiver.heard)
        assert receiver.heard == [b"a"]
        assert len(peers.made) == 1

    async def test_a_server_that_refuses_a_channel_is_asked_on_another_connection(
        self, line: Line, peers: Peers
    ) -> None:
        """It may not have it any more."""
        await listening(line)
        peers.now.refuse("MOVED 1 elsewhere:1")
        await until(lambda: len(peers.made) == 2)
        assert peers.made[0].closed

    async def test_connections_that_do_not_last_are_made_ever_more_slowly(
        self, line: Line, peers: Peers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And soon again after one that did."""
        monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.004)
        monkeypatch.setattr(module, "STEADY_S", PATIENCE_S)
        await listening(line)
        pauses = []
        for number in range(1, 5):
            if number == 4:
                monkeypatch.setattr(module, "STEADY_S", 0.0)
            peers.now.cut()
            while len(peers.made) == number:
                await pause()
            pauses.append(line._pause_s)
        assert pauses == [0.002, 0.004, 0.004, 0.002]

    async def test_a_connection_is_renewed_when_told(self, line: Line, peers: Peers) -> None:
        """There may be another server at its address now."""
        receiver = await listening(line)
        line.renew()
        await until(lambda: receiver.heard)
        assert peers.made[0].closed
        assert receiver.heard == [None]


class TestForgetfulServers:
    async def test_asked_once_more_a_server_says_so_and_who_listens_is_told(
        self, line: Line, peers: Peers
    ) -> None:
        """What came before was not heard."""
        receiver = await listening(line)
        line.again(TALK)
        await until(lambda: receiver.heard)
        assert receiver.heard == [None]
        assert peers.now.told == [("SUBSCRIBE", "talk")] * 2
        assert len(peers.made) == 1

    async def test_who_asks_once_more_and_leaves_is_unsubscribed(
        self, line: Line, peers: Peers
    ) -> None:
        """The server is not left with a channel that nobody hears."""
        receiver = await listening(line)
        line.again(TALK)
        line.leave(TALK, receiver)
        await until(lambda: TALK not in line.channels)
        assert peers.now.told[-1] == ("UNSUBSCRIBE", "talk")

    async def test_a_release_that_nobody_asked_for_is_a_cut(self, line: Line, peers: Peers) -> None:
        """So a node says that a channel's slot has moved to another."""
        receiver = await listening(line)
        peers.now.push(b"unsubscribe", TALK, b"0")
        await until(lambda: receiver.heard)
        assert peers.made[0].closed
        assert peers.now.told == [("SUBSCRIBE", "talk")]


class TestItsEnd:
    async def test_closing_leaves_nothing(self, line: Line, peers: Peers) -> None:
        """No task, and no connection."""
        before = asyncio.all_tasks()
        await listening(line)
        await line.close()
        assert peers.now.closed
        assert asyncio.all_tasks() <= before

    async def test_after_the_end_nothing_is_begun(self, line: Line, peers: Peers) -> None:
        """Who leaves late, or comes late, changes nothing."""
        receiver = await listening(line)
        await line.close()
        line.leave(TALK, receiver)
        line.want(b"late", receiver)
        assert len(peers.made) == 1

    async def test_a_receiver_that_fails_is_told_of_and_the_others_hear_on(
        self, line: Line, peers: Peers
    ) -> None:
        """It is a programmer's mistake, and must not make an instance deaf without a word."""
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        def broken(message: bytes | None) -> None:
            if message == b"a":
                raise ZeroDivisionError

        line.want(b"broken", broken)
        receiver = await listening(line)
        await until(line.channels[b"broken"].sure.is_set)
        peers.now.push(b"message", b"broken", b"a")
        await until(lambda: receiver.heard == [None])
        assert isinstance(told[0]["exception"], ZeroDivisionError)
