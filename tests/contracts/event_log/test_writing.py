"""What is stored, what is refused, and what is stored once however often it is asked."""

import asyncio

import pytest

from protocol.types import Position
from storage.log import (
    ENDED_REMEMBERED,
    ROWS,
    Append,
    Appended,
    Loss,
    Lost,
    Refusal,
    Refused,
    Registered,
    Retention,
    Slice,
)
from tests.contracts.event_log.calls import (
    ANSWER,
    OTHER,
    TALK,
    Make,
    append,
    opened,
    piece,
    row,
    say,
    stored,
)
from tests.contracts.event_log.harness import Harness


class TestOpening:
    async def test_a_new_epoch_is_empty(self, harness: Harness) -> None:
        """It stands at head 0, and everybody sees it there."""
        position = await opened(harness.one)
        assert position.seq == 0
        assert await harness.other.heads([TALK, "c_none"]) == {TALK: position, "c_none": None}
        assert await harness.other.read(TALK, position, 10) == Slice((), 0)

    async def test_of_two_openers_one_makes_the_epoch_and_both_learn_it(
        self, harness: Harness
    ) -> None:
        """Two instances that meet the same loss at once do not throw each other out."""
        first, second = await asyncio.gather(
            harness.one.open(TALK, None, 0, {ANSWER: 1}),
            harness.other.open(TALK, None, 0, {ANSWER: 1}),
        )
        assert first == second is not None

    async def test_a_late_opener_leaves_the_epoch_as_it_is(self, harness: Harness) -> None:
        """Whoever still names the epoch before is told where the log stands now."""
        before = await opened(harness.one)
        now = await harness.one.open(TALK, before.epoch, 0, {ANSWER: 2})
        assert now is not None
        await append(harness.one, piece(now, 1, fence=2))
        for known in (before.epoch, None):
            late = await harness.other.open(TALK, known, 0, {ANSWER: 1})
            assert late == Position(now.epoch, 1)
        assert await append(harness.one, piece(now, 2, fence=2)) == [Appended(2)]

    async def test_an_epoch_that_is_gone_is_not_replaced_unseen(self, harness: Harness) -> None:
        """What was read from SQL may be older than an erasure, so the opener has to look again."""
        before = await opened(harness.one)
        await harness.lose(TALK)
        assert await harness.one.open(TALK, before.epoch, 0, {}) is None
        assert await harness.one.heads([TALK]) == {TALK: None}

    async def test_a_new_epoch_takes_the_place_of_the_old_one(self, harness: Harness) -> None:
        """Its entries are gone, its positions lost, its appends refused."""
        before = await opened(harness.one)
        await say(harness.one, before, range(1, 4))
        now = await harness.one.open(TALK, before.epoch, 0, {ANSWER: 1})
        assert now is not None
        assert now.seq == 0
        assert await harness.other.read(TALK, before, 10) == Lost(Loss.EPOCH, now)
        assert await append(harness.other, piece(before, 4)) == [Refused(Refusal.EPOCH, now)]
        assert await append(harness.other, piece(now, 1)) == [Appended(1)]

    async def test_no_two_epochs_have_one_name(self, harness: Harness) -> None:
        """Not of one conversation, and not of two."""
        position, names = await opened(harness.one), set()
        for _ in range(20):
            names.add(position.epoch)
            following = await harness.one.open(TALK, position.epoch, 0, {})
            assert following is not None
            position = following
        names.add(position.epoch)
        names.add((await opened(harness.one, conversation="c_more")).epoch)
        assert len(names) == 22

    async def test_rows_go_on_after_those_of_the_snapshot(self, harness: Harness) -> None:
        """What SQL held at the opening reaches devices by the snapshot, not by the log."""
        position = await opened(harness.one, rows=7)
        assert await append(harness.one, row(position, 7), row(position, 8)) == [
            Refused(Refusal.FORGOTTEN, position, last=7),
            Appended(1),
        ]

    async def test_which_rows_are_told_can_be_asked(self, harness: Harness) -> None:
        """By a fence, which changes nothing, and with each page: SQL may have gone back since."""
        position = await opened(harness.one, rows=7)
        for told in range(3):
            if told:
                await append(harness.one, row(position, 7 + told), piece(position, told))
            known = await harness.other.fence(TALK, position.epoch, ROWS, 0)
            assert known == Registered(7 + told)
            for after in range(2 * told + 1):
                for limit in (1, 100):
                    page = await harness.other.read(TALK, Position(position.epoch, after), limit)
                    assert isinstance(page, Slice)
                    assert page.rows == 7 + told


class TestAppending:
    async def test_entries_of_all_sources_are_numbered_in_one_line(self, harness: Harness) -> None:
        """Seq is 1, 2, 3 … whoever appends, and reads give source, ordinal and body back."""
        position = await opened(harness.one, {ANSWER: 1, OTHER: 3})
        assert await append(harness.one, row(position, 1), piece(position, 1)) == [
            Appended(1),
            Appended(2),
        ]
        assert await append(harness.other, piece(position, 1, OTHER, fence=3)) == [Appended(3)]
        slice_ = await harness.one.read(TALK, position, 10)
        assert isinstance(slice_, Slice)
        assert [(e.seq, e.source, e.ordinal, e.body) for e in slice_.entries] == [
            (1, ROWS, 1, b"* 1"),
            (2, ANSWER, 1, b"m_answer 1"),
            (3, OTHER, 1, b"m_other 1"),
        ]

    async def test_a_batch_over_many_conversations_is_answered_in_its_order(
        self, harness: Harness
    ) -> None:
        """A conversation without a log refuses its own appends and nobody else's."""
        talks = [f"c_{n}" for n in range(30)]
        seen = {talk: await opened(harness.one, conversation=talk) for talk in talks}
        seen["c_none"] = Position("gone", 0)
        batch = [
            Append(talk, ANSWER, 1, ordinal, b"x", seen[talk])
            for ordinal in (1, 2)
            for talk in (*talks[:15], "c_none", *talks[15:])
        ]
        refused = Refused(Refusal.EPOCH)
        assert await append(harness.one, *batch) == [
            *([Appended(1)] * 15 + [refused] + [Appended(1)] * 15),
            *([Appended(2)] * 15 + [refused] + [Appended(2)] * 15),
        ]

    async def test_an_empty_batch_is_answered_with_nothing(self, harness: Harness) -> None:
        """A tick in which nobody spoke costs nobody anything."""
        assert await append(harness.one) == []

    async def test_a_body_comes_back_byte_for_byte(self, harness: Harness) -> None:
        """Bodies are opaque: empty, binary, large."""
        position = await opened(harness.one)
        bodies = [b"", bytes(range(256)), b"\xff\x00\r\n", b"x" * 256 * 1024]
        await harness.one.append(
            [Append(TALK, ANSWER, 1, n, body, position) for n, body in enumerate(bodies, 1)]
        )
        slice_ = await harness.other.read(TALK, position, 10)
        assert isinstance(slice_, Slice)
        assert [entry.body for entry in slice_.entries] == bodies

    async def test_without_an_epoch_nothing_is_stored(self, harness: Harness) -> None:
        """Nobody guesses: the refusal says that no epoch is open, and none comes of it."""
        assert await append(harness.one, piece(Position("e", 0), 1)) == [Refused(Refusal.EPOCH)]
        assert await harness.one.heads([TALK]) == {TALK: None}

    async def test_another_epoch_than_the_present_one_is_refused(self, harness: Harness) -> None:
        """The refusal says where the log stands."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 2))
        now = Position(position.epoch, 1)
        assert await append(harness.one, piece(Position("e", 1), 2)) == [
            Refused(Refusal.EPOCH, now, last=1)
        ]

    @pytest.mark.parametrize("fence", [1, 3])
    async def test_a_fence_that_is_not_the_registered_one_appends_nothing(
        self, harness: Harness, fence: int
    ) -> None:
        """A lower one is an owner from before; a higher one has not registered yet."""
        position = await opened(harness.one, {ANSWER: 2})
        assert await append(harness.one, piece(position, 1, fence=fence)) == [
            Refused(Refusal.FENCED, position)
        ]
        assert await stored(harness.one, position.epoch) == []

    async def test_a_source_that_nobody_registered_appends_nothing(self, harness: Harness) -> None:
        """Nor does it come to be known by trying."""
        position = await opened(harness.one)
        for _ in range(2):
            assert await append(harness.one, piece(position, 1, OTHER)) == [
                Refused(Refusal.FENCED, position)
            ]

    async def test_a_gap_is_refused_and_says_what_is_missing(self, harness: Harness) -> None:
        """So whoever logs a row first learns which lower rows to log before it."""
        position = await opened(harness.one, rows=3)
        await append(harness.one, row(position, 4))
        assert await append(harness.other, row(position, 7)) == [
            Refused(Refusal.GAP, Position(position.epoch, 1), last=4)
        ]
        batch = [row(position, number) for number in (5, 6, 7)]
        assert await append(harness.other, *batch) == [Appended(2), Appended(3), Appended(4)]

    async def test_what_follows_a_gap_in_its_batch_is_refused_with_it(
        self, harness: Harness
    ) -> None:
        """Others in the batch do not suffer."""
        position = await opened(harness.one, {ANSWER: 1, OTHER: 1})
        batch = [piece(position, 2), piece(position, 1, OTHER), piece(position, 3)]
        assert await append(harness.one, *batch) == [
            Refused(Refusal.GAP, position),
            Appended(1),
            Refused(Refusal.GAP, Position(position.epoch, 1)),
        ]


class TestRepeating:
    async def test_an_append_asked_again_gives_the_same_seq(self, harness: Harness) -> None:
        """A reply that timed out costs nothing, whichever client asks."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        for log in (harness.one, harness.other):
            assert await append(log, piece(position, 1), piece(position, 2)) == [
                Appended(1, repeated=True),
                Appended(2, repeated=True),
            ]
        assert [seq for seq, _ in await stored(harness.one, position.epoch)] == [1, 2]

    async def test_a_batch_asked_again_may_have_grown(self, harness: Harness) -> None:
        """What gathered during the time-out travels behind what is asked again."""
        position = await opened(harness.one)
        await append(harness.one, piece(position, 1), row(position, 1), piece(position, 2))
        batch = [piece(position, 1), piece(position, 2), piece(position, 3)]
        assert await append(harness.one, *batch) == [
            Appended(1, repeated=True),
            Appended(3, repeated=True),
            Appended(4),
        ]

    async def test_of_two_who_append_one_row_at_once_one_stores_it(self, harness: Harness) -> None:
        """Both learn its seq, so the row is logged once whoever speaks first."""
        position = await opened(harness.one)
        results = await asyncio.gather(
            append(harness.one, row(position, 1)), append(harness.other, row(position, 1))
        )
        appended = [result for (result,) in results if isinstance(result, Appended)]
        assert [each.seq for each in appended] == [1, 1]
        assert sorted(each.repeated for each in appended) == [False, True]

    async def test_an_ordinal_whose_entry_is_trimmed_is_forgotten_yet_taken(
        self, make: Make
    ) -> None:
        """Its seq cannot be told any more; a second entry for it there is not."""
        harness = await make(Retention(entries=2))
        position = await opened(harness.one)
        await append(harness.one, *(row(position, number) for number in (1, 2, 3)))
        assert await append(harness.one, row(position, 1)) == [
            Refused(Refusal.FORGOTTEN, Position(position.epoch, 3), last=3)
        ]

    async def test_what_an_unfinished_answer_has_not_checkpointed_is_never_forgotten(
        self, make: Make
    ) -> None:
        """Nobody can have checkpointed an append whose reply is missing."""
        harness = await make(Retention(entries=2))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 10))
        await append(harness.one, *(row(position, number) for number in range(1, 10)))
        assert await append(harness.one, piece(position, 1)) == [Appended(1, repeated=True)]


class TestEnding:
    @pytest.mark.parametrize("by_row", [False, True])
    async def test_nothing_of_an_answer_follows_its_end(
        self, harness: Harness, by_row: bool
    ) -> None:
        """Whether its own last entry ended it or a row did."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 2))
        end = row(position, 1, ends=ANSWER) if by_row else piece(position, 2, ends=ANSWER)
        assert await append(harness.one, end) == [Appended(2)]
        last = 1 if by_row else 2
        assert await append(harness.other, piece(position, last + 1)) == [
            Refused(Refusal.ENDED, Position(position.epoch, 2), last=last)
        ]
        assert len(await stored(harness.one, position.epoch)) == 2

    async def test_the_end_asked_again_gives_the_end_that_is_there(self, harness: Harness) -> None:
        """With its own ordinal or a later one: there is one terminal entry."""
        position = await opened(harness.one)
        await append(harness.one, piece(position, 1), piece(position, 2, ends=ANSWER))
        for ordinal in (2, 3):
            assert await append(harness.one, piece(position, ordinal, ends=ANSWER)) == [
                Appended(2, repeated=True)
            ]

    async def test_what_came_before_the_end_can_still_be_asked_again(
        self, harness: Harness
    ) -> None:
        """A last batch of text and end whose reply timed out is repeated as a whole."""
        position = await opened(harness.one)
        batch = [piece(position, 1), piece(position, 2, ends=ANSWER)]
        await append(harness.one, *batch)
        assert await append(harness.one, *batch) == [
            Appended(1, repeated=True),
            Appended(2, repeated=True),
        ]

    async def test_a_row_that_ends_an_answer_is_repeated_like_any_row(
        self, harness: Harness
    ) -> None:
        """Owner and sweeper may both log it."""
        position = await opened(harness.one)
        await append(harness.one, piece(position, 1), row(position, 1, ends=ANSWER))
        assert await append(harness.other, row(position, 1, ends=ANSWER)) == [
            Appended(2, repeated=True)
        ]

    async def test_an_answer_that_ended_before_it_spoke_stays_silent(
        self, harness: Harness
    ) -> None:
        """Stopped while queued, its slow owner comes too late to register it."""
        position = await opened(harness.one)
        await append(harness.one, row(position, 1, ends=OTHER))
        assert await harness.one.fence(TALK, position.epoch, OTHER, 1) == Registered(0, end=1)
        assert await append(harness.one, piece(position, 1, OTHER)) == [
            Refused(Refusal.ENDED, Position(position.epoch, 1))
        ]

    async def test_the_ends_of_many_answers_are_remembered_but_not_of_all(
        self, harness: Harness
    ) -> None:
        """The oldest beyond the bound is as unknown as a stranger, and appends as little."""
        position = await opened(harness.one, {f"m_{n}": 1 for n in range(ENDED_REMEMBERED + 1)})
        for n in range(ENDED_REMEMBERED + 1):
            await append(harness.one, piece(position, 1, f"m_{n}", ends=f"m_{n}"))
        results = await append(harness.one, piece(position, 2, "m_0"), piece(position, 2, "m_1"))
        reasons = [result.reason for result in results if isinstance(result, Refused)]
        assert reasons == [Refusal.FENCED, Refusal.ENDED]


class TestFencing:
    async def test_a_registered_answer_can_append(self, harness: Harness) -> None:
        """An answer made within an epoch joins it."""
        position = await opened(harness.one)
        assert await harness.one.fence(TALK, position.epoch, OTHER, 1) == Registered(0)
        assert await append(harness.other, piece(position, 1, OTHER)) == [Appended(1)]

    async def test_raising_the_fence_shuts_the_owner_before_out(self, harness: Harness) -> None:
        """The taker goes on where that one stopped, and the zombie writes nothing."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 4))
        assert await harness.other.fence(TALK, position.epoch, ANSWER, 2) == Registered(3)
        now = Position(position.epoch, 3)
        assert await append(harness.one, piece(position, 4)) == [
            Refused(Refusal.FENCED, now, last=3)
        ]
        assert await append(harness.other, piece(position, 4, fence=2)) == [Appended(4)]

    async def test_the_same_fence_again_changes_nothing(self, harness: Harness) -> None:
        """So the call may be repeated after a time-out."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        assert await harness.one.fence(TALK, position.epoch, ANSWER, 1) == Registered(2)
        assert await append(harness.one, piece(position, 3)) == [Appended(3)]

    async def test_a_lower_fence_is_refused(self, harness: Harness) -> None:
        """A zombie does not come back by registering."""
        position = await opened(harness.one, {ANSWER: 2})
        assert await harness.one.fence(TALK, position.epoch, ANSWER, 1) == Refused(
            Refusal.FENCED, position
        )
        assert await append(harness.one, piece(position, 1, fence=2)) == [Appended(1)]

    async def test_only_the_present_epoch_registers(self, harness: Harness) -> None:
        """Whoever names another learns where the log stands, or that there is none."""
        position = await opened(harness.one)
        refused = await harness.one.fence(TALK, "e", ANSWER, 2)
        assert refused == Refused(Refusal.EPOCH, position)
        assert await harness.one.fence("c_none", "e", ANSWER, 2) == Refused(Refusal.EPOCH)
        assert await append(harness.one, piece(position, 1)) == [Appended(1)]

    async def test_a_taker_learns_that_the_answer_has_ended(self, harness: Harness) -> None:
        """Then there is nothing to end any more."""
        position = await opened(harness.one)
        await append(harness.one, piece(position, 1), piece(position, 2, ends=ANSWER))
        assert await harness.other.fence(TALK, position.epoch, ANSWER, 2) == Registered(2, end=2)
