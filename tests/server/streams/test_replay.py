"""A follower is given every entry once and in order, or is told that it cannot be."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.types import Position, Seq
from server.streams.replay import Pass, Read, Replay, State, Step
from storage.log import Doubt, Entry, Live, Loss, Lost, Slice

EPOCH = "e"
LOST = Lost(Loss.EPOCH, Position("f", 3))


def at(seq: Seq) -> Position:
    return Position(EPOCH, seq)


def entries(*seqs: Seq) -> tuple[Entry, ...]:
    return tuple(Entry(seq, "m_answer", seq, b"x" * 10) for seq in seqs)


def live(*seqs: Seq) -> Live:
    return Live(EPOCH, entries(*seqs))


def passed(*seqs: Seq) -> Pass:
    return Pass(entries(*seqs))


def level(seq: Seq = 0, hold_bytes: int = 1000) -> Replay:
    """A follower that has read up to there and waits for more."""
    replay = Replay(at(seq), hold_bytes)
    assert list(replay.stored(Slice((), seq))) == []
    assert replay.state is State.LEVEL
    return replay


class TestReading:
    def test_a_follower_begins_by_reading(self) -> None:
        """What is stored after its position passes, and then it is level."""
        replay = Replay(at(2), 1000)
        assert list(replay.stored(Slice(entries(3, 4), 4))) == [passed(3, 4)]
        assert (replay.state, replay.position) == (State.LEVEL, at(4))

    def test_what_comes_during_the_read_is_held_and_passes_after_it(self) -> None:
        """Once, though the read gave some of it too."""
        replay = Replay(at(0), 1000)
        assert list(replay.live(live(2))) == []
        assert list(replay.live(live(3, 4))) == []
        assert list(replay.stored(Slice(entries(1, 2, 3), 3))) == [passed(1, 2, 3, 4)]
        assert replay.state is State.LEVEL

    def test_a_page_that_does_not_reach_the_head_is_followed_by_another(self) -> None:
        """Until what was read and what came live meet."""
        replay = Replay(at(0), 1000)
        assert list(replay.stored(Slice(entries(1, 2), 5))) == [passed(1, 2), Read(at(2))]
        assert list(replay.live(live(5, 6))) == []
        assert list(replay.stored(Slice(entries(3, 4), 5))) == [passed(3, 4, 5, 6)]
        assert replay.state is State.LEVEL

    def test_a_hole_between_the_page_and_what_is_held_is_read(self) -> None:
        """The delivery in between was lost."""
        replay = Replay(at(0), 1000)
        assert list(replay.live(live(4))) == []
        assert list(replay.stored(Slice(entries(1, 2), 2))) == [passed(1, 2), Read(at(2))]
        assert list(replay.stored(Slice(entries(3, 4), 4))) == [passed(3, 4)]

    def test_a_hole_within_a_page_is_refused(self) -> None:
        """What lies behind it waits until what is missing was read."""
        replay = Replay(at(0), 1000)
        assert list(replay.stored(Slice(entries(1, 3), 3))) == [passed(1), Read(at(1))]

    def test_a_page_that_begins_too_early_gives_nothing_twice(self) -> None:
        """Entries up to the position are known."""
        replay = Replay(at(2), 1000)
        assert list(replay.stored(Slice(entries(1, 2, 3), 3))) == [passed(3)]

    def test_an_answer_that_nobody_waits_for_is_nothing(self) -> None:
        """A read asked twice for safety is answered twice."""
        replay = level(2)
        assert list(replay.stored(Slice(entries(1, 2, 3), 3))) == []
        assert (replay.state, replay.position) == (State.LEVEL, at(2))


class TestLive:
    def test_the_next_entry_passes_at_once(self) -> None:
        """Alone, or with those that follow it."""
        replay = level()
        assert list(replay.live(live(1))) == [passed(1)]
        assert list(replay.live(live(2, 3))) == [passed(2, 3)]
        assert replay.position == at(3)

    def test_a_doubled_delivery_passes_once(self) -> None:
        """Whole or in part."""
        replay = level()
        assert list(replay.live(live(1, 2))) == [passed(1, 2)]
        assert list(replay.live(live(1, 2))) == []
        assert list(replay.live(live(2, 3))) == [passed(3)]
        assert replay.state is State.LEVEL
        assert replay._held == {}

    def test_a_hole_is_read_and_what_came_behind_it_kept(self) -> None:
        """The read ends where the held entries begin."""
        replay = level(1)
        assert list(replay.live(live(4))) == [Read(at(1))]
        assert list(replay.live(live(5))) == []
        assert list(replay.stored(Slice(entries(2, 3, 4), 4))) == [passed(2, 3, 4, 5)]
        assert replay.state is State.LEVEL

    def test_what_can_pass_before_a_hole_passes(self) -> None:
        """Only what is behind it waits."""
        replay = level()
        assert list(replay.live(live(1, 3))) == [passed(1), Read(at(1))]

    def test_a_delivery_without_entries_is_nothing(self) -> None:
        """Neither news nor a doubt."""
        assert list(level().live(live())) == []


class TestDoubt:
    @pytest.mark.parametrize("delivery", [Doubt(), Live("f", entries(1))])
    def test_whatever_is_not_the_epochs_next_entry_asks_the_log(
        self, delivery: Doubt | Live
    ) -> None:
        """It may be news, or a straggler from before: only the log knows."""
        replay = level(3)
        assert list(replay.live(delivery)) == [Read(at(3))]
        assert list(replay.stored(Slice((), 3))) == []
        assert list(replay.live(live(4))) == [passed(4)]

    def test_a_doubt_during_a_read_asks_once_more(self) -> None:
        """The read under way may have been answered before what the doubt is about."""
        replay = Replay(at(0), 1000)
        assert list(replay.live(Doubt())) == []
        assert list(replay.live(Doubt())) == []
        assert list(replay.stored(Slice(entries(1), 1))) == [passed(1), Read(at(1))]
        assert list(replay.stored(LOST)) == [LOST]

    def test_a_head_elsewhere_asks_the_log(self) -> None:
        """Further on, in another epoch, further back, or nowhere."""
        for head in (at(4), Position("f", 3), at(2), None):
            assert list(level(3).checked(at(3), head)) == [Read(at(3))]

    def test_a_head_where_the_follower_stands_is_no_news(self) -> None:
        """The five-second check of thousands costs no read."""
        assert list(level(3).checked(at(3), at(3))) == []

    def test_a_look_that_is_overtaken_means_nothing(self) -> None:
        """It was asked for before an entry came, or before a read that is under way."""
        replay = level(3)
        replay.live(live(4))
        assert list(replay.checked(at(3), at(3))) == []
        assert list(replay.checked(at(3), Position("f", 1))) == []
        replay.live(live(6))
        assert replay.state is State.READING
        assert list(replay.checked(at(4), None)) == []


class TestLosing:
    def test_a_lost_position_is_passed_on_and_ends_the_follower(self) -> None:
        """Nothing more comes out of it, held or new."""
        replay = Replay(at(2), 1000)
        replay.live(live(3))
        assert list(replay.stored(LOST)) == [LOST]
        assert replay.state is State.LOST
        assert list(replay.live(live(3))) == []
        assert list(replay.live(Doubt())) == []
        assert list(replay.checked(at(2), at(3))) == []
        assert list(replay.stored(Slice(entries(3), 3))) == []

    def test_a_log_below_what_was_delivered_was_rolled_back(self) -> None:
        """What is held never was, as far as the log remembers; seqs would be given again."""
        replay = level(3)
        assert list(replay.live(live(5))) == [Read(at(3))]
        assert list(replay.stored(Slice((), 3))) == [Lost(Loss.AHEAD, at(3))]

    def test_a_delivery_after_the_read_was_asked_for_proves_no_rollback(self) -> None:
        """The read may have been answered before it; the next one is not."""
        replay = Replay(at(3), 1000)
        replay.live(live(5))
        assert list(replay.stored(Slice((), 3))) == [Read(at(3))]
        assert list(replay.stored(Slice((), 3))) == [Lost(Loss.AHEAD, at(3))]

    def test_a_log_that_gives_nothing_of_what_it_has_is_not_asked_for_ever(self) -> None:
        """It is damaged, and only a new epoch mends it."""
        replay = Replay(at(3), 1000)
        assert list(replay.stored(Slice((), 9))) == [Lost(Loss.AHEAD, at(9))]


class TestBounds:
    def test_beyond_the_bound_what_is_held_is_forgotten_and_read(self) -> None:
        """A slow read of a fast answer costs no memory, only another read."""
        replay = Replay(at(0), hold_bytes=25)
        for seq in (1, 2, 3):
            assert list(replay.live(live(seq))) == []
        assert replay._held == {}
        assert list(replay.stored(Slice(entries(1), 1))) == [passed(1), Read(at(1))]
        assert list(replay.stored(Slice(entries(2, 3), 3))) == [passed(2, 3)]

    def test_the_bound_counts_only_what_is_held_now(self) -> None:
        """What passed is off the account."""
        replay = level(hold_bytes=25)
        for seq in range(1, 50):
            assert list(replay.live(live(seq))) == [passed(seq)]
        assert list(replay.live(live(51, 52))) == [Read(at(49))]
        assert list(replay.stored(Slice(entries(50), 52))) == [passed(50, 51, 52)]

    def test_a_bound_of_zero_holds_nothing(self) -> None:
        """Live entries still pass; those behind a hole are read."""
        replay = level(hold_bytes=0)
        assert list(replay.live(live(1))) == [passed(1)]
        assert list(replay.live(live(3))) == [Read(at(1))]
        assert replay._held == {}
        assert list(replay.stored(Slice(entries(2, 3), 3))) == [passed(2, 3)]


class Follower:
    """A replay and the log it follows, whose reads take their time."""

    def __init__(self, begin: Seq, hold_bytes: int) -> None:
        self.replay = Replay(at(begin), hold_bytes)
        self.given: list[Seq] = []
        self.head = begin
        self.answer: Slice | None = None

    def act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            assert not isinstance(step, Lost)
            if isinstance(step, Pass):
                self.given += [entry.seq for entry in step.entries]

    def read(self, limit: int) -> None:
        """The log answers; the next call brings the answer home."""
        if self.replay.state is not State.READING:
            return
        if self.answer is None:
            first = self.replay.position.seq + 1
            page = range(first, min(first + limit, self.head + 1))
            self.answer = Slice(entries(*page), self.head)
        else:
            answer, self.answer = self.answer, None
            self.act(self.replay.stored(answer))


@given(begin=st.integers(0, 3), hold_bytes=st.sampled_from([0, 30, 1000]), chance=st.randoms())
def test_every_entry_passes_once_and_in_order_whatever_the_deliveries_do(
    begin: Seq, hold_bytes: int, chance: random.Random
) -> None:
    """Lost, doubled, shuffled, doubted; and at the end one look at the head makes it level."""
    follower, mail = Follower(begin, hold_bytes), list[Live | Doubt]()
    for _ in range(chance.randrange(40)):
        follower.head += 1
        mail += [live(follower.head)] * chance.choice([0, 1, 1, 1, 2])
        if chance.random() < 0.1:
            mail.append(Doubt())
        while mail and chance.random() < 0.6:
            delivery = mail.pop(chance.randrange(len(mail)))
            follower.act(follower.replay.live(delivery))
        if chance.random() < 0.4:
            follower.read(limit=chance.randrange(1, 4))
    for _ in range(200):
        follower.read(limit=3)
        position = follower.replay.position
        follower.act(follower.replay.checked(position, at(follower.head)))
    assert follower.given == [*range(begin + 1, follower.head + 1)]
    assert follower.replay.state is State.LEVEL
