"""One conversation's live tail: whoever joins, wherever and whenever, is and stays level."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.frames.from_server import Pong, Presence
from server.streams.entry import Shared
from server.streams.options import Options
from storage.errors import Unavailable
from storage.log import Doubt, Slice
from tests.server.streams.hall import HERE, Crowd, Hall, Prankster
from tests.support.place import Listener
from tests.support.virtual import virtually


def play(script: Callable[[Hall], Awaitable[None]], options: Options | None = None) -> None:
    """In virtual time."""

    async def main() -> None:
        await script(Hall(options))

    virtually(main())


# ── joining ──────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), page=st.integers(1, 5), hold=st.sampled_from([0, 100, 10_000]))
def test_whoever_joins_while_it_goes_on_misses_nothing_and_gets_nothing_twice(
    seed: int, page: int, hold: int
) -> None:
    """At every place, in any order of replies and deliveries; some leave meanwhile."""
    chance = random.Random(seed)

    async def script(hall: Hall) -> None:
        await hall.open(10)
        hall.log.turns = lambda: chance.randrange(3)
        crowd = Crowd(hall, chance)
        moving = asyncio.create_task(crowd.move())
        for _ in range(15):
            await hall.append()
            await asyncio.sleep(0)
        await moving
        await asyncio.sleep(1)
        for listener, seq in crowd.stayers:
            assert listener.seqs == list(range(seq + 1, 26))
            assert listener.lost == 0
        for listener, seq in crowd.leavers:
            assert listener.seqs == list(range(seq + 1, seq + 1 + len(listener.seqs)))
        assert hall.log.followed == 1
        crowd.leave()
        assert hall.idle

    play(script, Options(page=page, hold_bytes=hold))


def test_many_who_join_at_once_begin_it_once() -> None:
    """One subscription, one look at the head."""

    async def script(hall: Hall) -> None:
        await hall.open(3)
        hall.log.turns = lambda: 2
        listeners = [Listener() for _ in range(20)]
        await asyncio.gather(*(hall.join(listener, 3) for listener in listeners))
        assert hall.log.followed == 1
        await hall.append()
        assert [listener.seqs for listener in listeners] == [[4]] * 20

    play(script)


def test_entries_are_the_same_for_all_who_are_level() -> None:
    """Encoded once for all of them."""

    async def script(hall: Hall) -> None:
        await hall.open()
        one, two = Listener(), Listener()
        await hall.join(one, 0)
        await hall.join(two, 0)
        await hall.append()
        await one.until(1)
        assert one.entries[0] is two.entries[0]

    play(script)


def test_who_joins_further_on_than_was_delivered_waits_until_it_was() -> None:
    """A delivery was lost, and the newcomer knows of it from the log itself."""

    async def script(hall: Hall) -> None:
        await hall.open(1)
        one, two = Listener(), Listener()
        await hall.join(one, 1)
        hall.log.carry = lambda _delivery, _sink: None
        await hall.append(3)
        hall.log.carry = lambda delivery, sink: sink(delivery)
        await hall.join(two, 4)
        await hall.append()
        assert (one.seqs, two.seqs) == ([2, 3, 4, 5], [5])

    play(script)


@pytest.mark.parametrize("seq", [3, 99])
def test_a_place_that_the_log_does_not_have_is_lost(seq: int) -> None:
    """It was trimmed, or is ahead of all that there is."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        listener = Listener()
        await hall.join(listener, seq)
        assert (listener.lost, listener.entries) == (1, [])
        assert hall.idle

    play(script)


def test_without_an_epoch_all_who_join_are_lost_and_nothing_is_left() -> None:
    """Also where they come at once."""

    async def script(hall: Hall) -> None:
        hall.log.turns = lambda: 1
        listeners = [Listener() for _ in range(3)]
        await asyncio.gather(*(hall.join(listener, 0) for listener in listeners))
        assert [listener.lost for listener in listeners] == [1, 1, 1]
        assert hall.idle

    play(script)


# ── leaving and losing ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["follow", "heads", "read"])
def test_who_leaves_while_joining_leaves_nothing_behind(method: str) -> None:
    """No entry comes, and the subscription is given back."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        door = hall.log.doors[method] = asyncio.Event()
        listener = Listener()
        joining = asyncio.create_task(hall.join(listener, 0))
        await asyncio.sleep(0)
        assert hall.channel is not None
        hall.channel.leave(listener)
        door.set()
        await joining
        await hall.append()
        assert (listener.entries, listener.lost) == ([], 0)
        assert hall.idle

    play(script)


def test_who_joins_slowly_is_told_how_many_follow() -> None:
    """The number was told while it read what it missed, and does not change when it is level."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        level, slow = Listener(), Listener()
        await hall.join(level, 2)
        door = hall.log.doors["read"] = asyncio.Event()
        joining = asyncio.create_task(hall.join(slow, 0))
        await asyncio.sleep(0)
        assert hall.channel is not None
        hall.channel.count()
        told = [Presence(conversation=HERE, sockets=2)]
        assert (level.aside, slow.aside) == (told, [])
        door.set()
        await joining
        hall.channel.count()
        assert (level.aside, slow.aside) == (told, told)

    play(script)


@pytest.mark.parametrize("epoch", ["none", "over"])
def test_who_leaves_while_joining_what_is_gone_leaves_nothing_behind(epoch: str) -> None:
    """Its position turns out to be no place in the log when nobody waits for it any more."""

    async def script(hall: Hall) -> None:
        if epoch == "over":
            await hall.open(1)
        door = hall.log.doors["follow"] = asyncio.Event()
        listener = Listener()
        joining = asyncio.create_task(hall.join(listener, 0))
        await asyncio.sleep(0)
        assert hall.channel is not None
        if epoch == "over":
            await hall.open()
        hall.channel.leave(listener)
        door.set()
        await joining
        assert listener.lost == 0
        assert hall.idle

    play(script)


def test_an_old_channel_that_ends_late_does_not_end_the_new_one() -> None:
    """Its last follower left while the log was asked; another came, to a new channel."""

    async def script(hall: Hall) -> None:
        await hall.open(1)
        door = hall.log.doors["follow"] = asyncio.Event()
        early, late = Listener(), Listener()
        joining = asyncio.create_task(hall.join(early, 0))
        await asyncio.sleep(0)
        assert hall.channel is not None
        hall.channel.leave(early)
        del hall.log.doors["follow"]
        await hall.join(late, 0)
        channel = hall.channel
        door.set()
        await joining
        assert hall.channel is channel
        await hall.append()
        assert late.seqs == [1, 2]
        assert hall.log.followed == 1

    play(script)


def test_an_epoch_that_ends_while_somebody_joins_is_lost_for_them_too() -> None:
    """Once, and without an entry of either epoch."""

    async def script(hall: Hall) -> None:
        await hall.open(4)
        level, joiner = Listener(), Listener()
        await hall.join(level, 4)
        await asyncio.sleep(0)
        door = hall.log.doors["read"] = asyncio.Event()
        joining = asyncio.create_task(hall.join(joiner, 0))
        await asyncio.sleep(0)
        await hall.open(2)
        door.set()
        await joining
        await level.until_lost()
        assert (level.lost, joiner.lost) == (1, 1)
        assert level.entries == joiner.entries == []
        assert hall.idle

    play(script)


def test_what_is_said_beside_the_log_reaches_all_but_one() -> None:
    """Its sender knows it."""

    async def script(hall: Hall) -> None:
        await hall.open()
        listeners = [Listener() for _ in range(3)]
        for listener in listeners:
            await hall.join(listener, 0)
        assert hall.channel is not None
        hall.channel.tell(Pong(), but=listeners[1])
        assert [len(listener.aside) for listener in listeners] == [1, 0, 1]
        assert hall.channel.followers == 3
        assert HERE in repr(hall.channel)

    play(script)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["follow", "heads", "read"])
def test_who_cannot_join_is_told_and_nothing_is_left(method: str) -> None:
    """It may try again."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        hall.log.away.add(method)
        listener = Listener()
        with pytest.raises(Unavailable):
            await hall.join(listener, 0)
        assert hall.idle
        hall.log.away.clear()
        await hall.join(listener, 0)
        assert listener.seqs == [1, 2]

    play(script)


@pytest.mark.parametrize("how", ["left", "lost"])
def test_who_was_let_go_hears_nothing_of_a_log_that_is_away(how: str) -> None:
    """It follows no more: there is nothing to try again."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        hall.log.doors["read"] = asyncio.Event()
        listener = Listener()
        joining = asyncio.create_task(hall.join(listener, 0))
        await asyncio.sleep(1)
        assert hall.channel is not None
        if how == "left":
            hall.channel.leave(listener)
        else:
            hall.channel.lose()
        hall.log.away.add("read")
        hall.log.doors["read"].set()
        await joining
        assert listener.lost == (how == "lost")
        assert hall.idle

    play(script)


def test_a_log_that_cannot_be_read_for_a_while_is_read_again() -> None:
    """Whom a delivery did not reach waits, and misses nothing."""

    async def script(hall: Hall) -> None:
        await hall.open(1)
        hall.log.away.add("read")
        listener = Listener()
        await hall.join(listener, 1)
        carry, hall.log.carry = hall.log.carry, lambda delivery, sink: None
        await hall.append()
        hall.log.carry = carry
        await hall.append()
        await asyncio.sleep(3)
        assert listener.entries == []
        hall.log.away.clear()
        await asyncio.sleep(1)
        await hall.append()
        assert listener.seqs == [2, 3, 4]

    play(script)


class Broken(Listener):
    """A follower that breaks its word."""

    def take(self, entries: Sequence[Shared], *, live: bool) -> None:
        """Raise."""
        raise ValueError("a fault of ours")


def test_a_log_that_is_not_read_for_another_reason_loses_its_followers() -> None:
    """They come back with snapshots, to a channel that reads; this one would be silent for ever."""

    async def script(hall: Hall) -> None:
        await hall.open(1)
        listener = Listener()
        await hall.join(listener, 1)
        read = hall.log.read

        async def broken(*_: object) -> Slice:
            raise ValueError("an entry that cannot be read")

        hall.log.read = broken  # type: ignore[method-assign,assignment]
        hall.log.carry = lambda _delivery, sink: sink(Doubt())
        await hall.append()
        await listener.until_lost()
        assert hall.idle
        hall.log.read = read  # type: ignore[method-assign]
        again = Listener()
        await hall.join(again, 1)
        assert again.seqs == [2]

    play(script)


def test_a_follower_that_fails_at_what_it_missed_is_let_go_too() -> None:
    """With what is live it would go on behind a gap that nobody tells it of."""

    async def script(hall: Hall) -> None:
        await hall.open(2)
        broken = Broken()
        await hall.join(broken, 0)
        assert broken.lost == 1
        assert hall.idle

    play(script)


def test_a_follower_that_fails_is_let_go_alone() -> None:
    """Others, and the log's writers, do not notice."""

    async def script(hall: Hall) -> None:
        await hall.open()
        broken, sound = Broken(), Listener()
        await hall.join(broken, 0)
        await hall.join(sound, 0)
        await hall.append(2)
        await sound.until(2)
        assert broken.lost == 1
        assert sound.seqs == [1, 2]
        assert hall.channel is not None
        assert hall.channel.followers == 1

    play(script)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), hold=st.sampled_from([0, 200, 10_000]))
def test_whatever_becomes_of_deliveries_a_look_brings_everybody_level(seed: int, hold: int) -> None:
    """Lost, doubled, out of order, from another epoch: in order, without a hole, once each."""
    chance = random.Random(seed)
    prankster = Prankster(chance)

    async def script(hall: Hall) -> None:
        await hall.open(5)
        hall.log.carry = prankster.carry
        hall.log.turns = lambda: chance.randrange(3)
        listeners = [(Listener(), seq) for seq in range(6)]
        for listener, seq in listeners:
            await hall.join(listener, seq)
            for _ in range(chance.randrange(4)):
                await hall.append()
                await asyncio.sleep(0)
        hall.log.carry = lambda _delivery, _sink: None
        await asyncio.sleep(1)
        await hall.append()
        await hall.check()
        for listener, seq in listeners:
            assert listener.seqs == list(range(seq + 1, hall.head.seq + 1))
            assert listener.lost == 0

    play(script, Options(hold_bytes=hold, page=3))


def test_what_is_delivered_before_the_first_look_is_answered_is_not_lost() -> None:
    """The two come by different ways, so an entry may be there before its log's head is known."""

    async def script(hall: Hall) -> None:
        await hall.open(1)
        hall.log.turns = lambda: 10
        listener = Listener()
        joining = asyncio.create_task(hall.join(listener, 1))
        for _ in range(40):
            await hall.append()
            await asyncio.sleep(0)
        await joining
        assert listener.seqs == [*range(2, hall.head.seq + 1)]

    play(script)
