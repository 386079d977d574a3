"""What every implementation of the conversation log promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType

import pytest

from protocol.types import Epoch, Id, Position, Seq
from storage.log import (
    ENDED_REMEMBERED,
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
from tests.contracts.event_log import HARNESSES, Harness, Mailbox

KEEP_ALL = Retention(entries=0, age_ms=0, idle_ms=0)
TALK = "c_talk"
ANSWER = "m_answer"
OTHER = "m_other"

Make = Callable[[Retention], Awaitable[Harness]]


@pytest.fixture(params=list(HARNESSES.values()), ids=list(HARNESSES))
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Opens harnesses of one implementation, and closes them after the test."""
    async with AsyncExitStack() as stack:
        yield lambda retention: stack.enter_async_context(request.param(request, retention))


@pytest.fixture
async def harness(make: Make) -> Harness:
    return await make(KEEP_ALL)


async def opened(
    log: EventLog,
    fences: Mapping[Id, int] = MappingProxyType({ANSWER: 1}),
    *,
    rows: int = 0,
    conversation: Id = TALK,
) -> Position:
    """A first epoch that knows these answers."""
    position = await log.open(conversation, None, rows, fences)
    assert position is not None
    return position


def piece(
    seen: Position, ordinal: int, source: Id = ANSWER, *, fence: int = 1, ends: Id | None = None
) -> Append:
    """What an answer appends; its body tells who and which."""
    return Append(TALK, source, fence, ordinal, f"{source} {ordinal}".encode(), seen, ends)


def row(seen: Position, number: int, ends: Id | None = None) -> Append:
    return piece(seen, number, ROWS, fence=0, ends=ends)


async def append(log: EventLog, *batch: Append) -> list[Appended | Refused]:
    return list(await log.append(batch))


async def say(log: EventLog, seen: Position, ordinals: range, source: Id = ANSWER) -> None:
    """Appends these of an answer, each by itself, and expects no refusal."""
    for ordinal in ordinals:
        (result,) = await log.append([piece(seen, ordinal, source)])
        assert isinstance(result, Appended), result


async def stored(log: EventLog, epoch: Epoch, after: Seq = 0) -> list[tuple[Seq, str]]:
    """Number and body of everything stored after a seq."""
    slice_ = await log.read(TALK, Position(epoch, after), 1000)
    assert isinstance(slice_, Slice), slice_
    return [(entry.seq, entry.body.decode()) for entry in slice_.entries]


async def oldest(log: EventLog, epoch: Epoch) -> Seq:
    """The seq after which everything stored can be read."""
    answer = await log.read(TALK, Position(epoch, 0), 1)
    return answer.oldest if isinstance(answer, Lost) else 0


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


class TestRetention:
    async def test_the_number_of_entries_is_bounded(self, make: Make) -> None:
        """The oldest leave as new ones come."""
        harness = await make(Retention(entries=3))
        position = await opened(harness.one)
        for number in range(1, 6):
            await append(harness.one, row(position, number))
        assert await oldest(harness.one, position.epoch) == 2
        assert [seq for seq, _ in await stored(harness.one, position.epoch, 2)] == [3, 4, 5]

    async def test_the_age_of_entries_is_bounded(self, make: Make) -> None:
        """At the next append those beyond it leave."""
        harness = await make(Retention(age_ms=1000))
        position = await opened(harness.one)
        await append(harness.one, row(position, 1))
        await harness.pass_time(600)
        await append(harness.one, row(position, 2))
        assert await oldest(harness.one, position.epoch) == 0
        await harness.pass_time(600)
        await append(harness.one, row(position, 3))
        assert await oldest(harness.one, position.epoch) == 1

    async def test_zero_means_no_bound(self, harness: Harness) -> None:
        """Nothing leaves, however many and however old."""
        position = await opened(harness.one)
        for number in range(1, 101):
            await append(harness.one, row(position, number))
        await harness.pass_time(365 * 24 * 3600 * 1000)
        await append(harness.one, row(position, 101))
        assert len(await stored(harness.one, position.epoch)) == 101

    @pytest.mark.parametrize("retention", [Retention(entries=2), Retention(age_ms=10)])
    async def test_what_an_unfinished_answer_has_not_checkpointed_stays(
        self, make: Make, retention: Retention
    ) -> None:
        """From its first entry on, so a taker or a device finds what SQL does not have yet."""
        harness = await make(retention)
        position = await opened(harness.one)
        await append(harness.one, row(position, 1), row(position, 2))
        for ordinal in range(1, 8):
            await harness.pass_time(20)
            await append(harness.one, piece(position, ordinal))
        assert [seq for seq, _ in await stored(harness.one, position.epoch, 2)] == [*range(3, 10)]

    async def test_a_checkpoint_lets_go_of_what_lies_before_it(self, make: Make) -> None:
        """What follows it stays."""
        harness = await make(Retention(entries=1))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 6))
        await harness.one.checkpoint([Checkpoint(TALK, position.epoch, ANSWER, 3)])
        await say(harness.one, position, range(6, 7))
        assert await oldest(harness.one, position.epoch) == 3
        assert [seq for seq, _ in await stored(harness.one, position.epoch, 3)] == [4, 5, 6]

    async def test_the_answer_that_has_checkpointed_least_decides(self, make: Make) -> None:
        """One running answer does not trim another's text away."""
        harness = await make(Retention(entries=1))
        position = await opened(harness.one, {ANSWER: 1, OTHER: 1})
        await say(harness.one, position, range(1, 3))
        await say(harness.one, position, range(1, 5), OTHER)
        await harness.one.checkpoint(
            [
                Checkpoint(TALK, position.epoch, ANSWER, 6),
                Checkpoint(TALK, position.epoch, OTHER, 4),
            ]
        )
        await say(harness.one, position, range(3, 4))
        assert await oldest(harness.one, position.epoch) == 4

    async def test_a_checkpoint_never_goes_back(self, make: Make) -> None:
        """A late one is overtaken, one of another epoch is not this log's."""
        harness = await make(Retention(entries=1))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 6))
        for epoch, seq in ((position.epoch, 4), (position.epoch, 2), ("e", 5)):
            await harness.one.checkpoint([Checkpoint(TALK, epoch, ANSWER, seq)])
        await harness.one.checkpoint([Checkpoint("c_none", "e", ANSWER, 5)])
        await say(harness.one, position, range(6, 7))
        assert await oldest(harness.one, position.epoch) == 4

    async def test_a_checkpoint_above_the_head_covers_nothing_to_come(self, make: Make) -> None:
        """After a rollback the seqs it speaks of are those of other entries."""
        harness = await make(Retention(entries=1))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        await harness.one.checkpoint([Checkpoint(TALK, position.epoch, ANSWER, 50)])
        await say(harness.one, position, range(3, 6))
        assert await oldest(harness.one, position.epoch) == 2

    @pytest.mark.parametrize("by_row", [False, True])
    async def test_an_answer_that_ended_holds_nothing(self, make: Make, by_row: bool) -> None:
        """Its text is in SQL."""
        harness = await make(Retention(entries=2))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 5))
        end = row(position, 1, ends=ANSWER) if by_row else piece(position, 5, ends=ANSWER)
        await append(harness.one, end)
        assert await oldest(harness.one, position.epoch) == 3

    async def test_an_idle_log_expires_as_a_whole(self, make: Make) -> None:
        """Whoever comes next finds none, and opens a new epoch."""
        harness = await make(Retention(idle_ms=1000))
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        await harness.pass_time(1001)
        assert await harness.one.heads([TALK]) == {TALK: None}
        assert await harness.one.read(TALK, position, 10) == Lost(Loss.NO_LOG)
        assert await append(harness.one, piece(position, 3)) == [Refused(Refusal.EPOCH)]
        now = await opened(harness.one)
        assert now.epoch != position.epoch
        assert await append(harness.one, piece(now, 1)) == [Appended(1)]

    async def test_every_write_keeps_a_log_alive(self, make: Make) -> None:
        """Append, fence and checkpoint alike."""
        harness = await make(Retention(idle_ms=1000))
        position = await opened(harness.one)
        await harness.pass_time(700)
        await append(harness.one, piece(position, 1))
        await harness.pass_time(700)
        await harness.one.fence(TALK, position.epoch, OTHER, 1)
        await harness.pass_time(700)
        await harness.one.checkpoint([Checkpoint(TALK, position.epoch, ANSWER, 1)])
        await harness.pass_time(700)
        assert await harness.one.heads([TALK]) == {TALK: Position(position.epoch, 1)}

    async def test_being_looked_at_does_not_keep_a_log_alive(self, make: Make) -> None:
        """Checking the positions of thousands of open tabs must not turn into writes."""
        harness = await make(Retention(idle_ms=1000))
        position = await opened(harness.one)
        await harness.pass_time(700)
        await harness.one.heads([TALK])
        await harness.one.read(TALK, position, 10)
        await harness.pass_time(700)
        assert await harness.one.heads([TALK]) == {TALK: None}


class TestReading:
    async def test_a_read_gives_exactly_what_follows_its_position(self, harness: Harness) -> None:
        """From anywhere, and nothing at the head."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 6))
        for seq in range(6):
            found = await stored(harness.other, position.epoch, seq)
            assert [number for number, _ in found] == [*range(seq + 1, 6)]

    async def test_pages_make_up_the_whole(self, harness: Harness) -> None:
        """Each gives at least one entry while there is one, and where the log stands."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 8))
        found: list[Seq] = []
        while len(found) < 7:
            after = Position(position.epoch, found[-1] if found else 0)
            page = await harness.one.read(TALK, after, 3)
            assert isinstance(page, Slice)
            assert 1 <= len(page.entries) <= 3
            assert page.head == 7
            found += [entry.seq for entry in page.entries]
        assert found == [*range(1, 8)]

    async def test_a_lost_position_says_why_and_what_is_left(self, make: Make) -> None:
        """Trimmed, of another epoch, ahead of the log, or no log at all."""
        harness = await make(Retention(entries=2))
        position = await opened(harness.one)
        await append(harness.one, *(row(position, number) for number in range(1, 6)))
        now = Position(position.epoch, 5)
        for after, reason in (
            (Position(position.epoch, 2), Loss.TRIMMED),
            (Position("e", 4), Loss.EPOCH),
            (Position(position.epoch, 6), Loss.AHEAD),
        ):
            assert await harness.one.read(TALK, after, 10) == Lost(reason, now, oldest=3)
        assert await harness.one.read("c_none", position, 10) == Lost(Loss.NO_LOG)


class TestFollowing:
    async def test_a_follower_gets_what_is_stored_from_then_on(self, harness: Harness) -> None:
        """Through whichever client it was stored."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        mail = Mailbox()
        following = await harness.one.follow(TALK, mail)
        await say(harness.other, position, range(3, 5))
        await append(harness.one, piece(position, 5), row(position, 1), piece(position, 1))
        await harness.settle()
        following.close()
        assert [(e.seq, e.body) for e in mail.entries()] == [
            (3, b"m_answer 3"),
            (4, b"m_answer 4"),
            (5, b"m_answer 5"),
            (6, b"* 1"),
        ]

    async def test_each_follower_hears_of_its_own_conversation_only(self, harness: Harness) -> None:
        """And of two of one conversation each hears everything."""
        position = await opened(harness.one)
        await opened(harness.one, conversation="c_more")
        first, second, stranger = Mailbox(), Mailbox(), Mailbox()
        followings = [
            await harness.one.follow(TALK, first),
            await harness.other.follow(TALK, second),
            await harness.one.follow("c_more", stranger),
        ]
        await say(harness.one, position, range(1, 3))
        await harness.settle()
        for following in followings:
            following.close()
        assert [e.seq for e in first.entries()] == [e.seq for e in second.entries()] == [1, 2]
        assert stranger.deliveries == []

    async def test_a_closed_following_is_silent(self, harness: Harness) -> None:
        """Closing twice is closing once, and another follower goes on."""
        position = await opened(harness.one)
        gone, stays = Mailbox(), Mailbox()
        following = await harness.one.follow(TALK, gone)
        other = await harness.one.follow(TALK, stays)
        following.close()
        following.close()
        await say(harness.one, position, range(1, 2))
        await harness.settle()
        other.close()
        assert gone.deliveries == []
        assert [e.seq for e in stays.entries()] == [1]

    async def test_a_follower_is_told_of_a_new_epoch(self, harness: Harness) -> None:
        """Also of the first one, and gets its entries."""
        mail = Mailbox()
        following = await harness.other.follow(TALK, mail)
        position = await opened(harness.one)
        now = await harness.one.open(TALK, position.epoch, 0, {ANSWER: 1})
        assert now is not None
        await say(harness.one, now, range(1, 2))
        await harness.settle()
        following.close()
        assert mail.deliveries[:2] == [Doubt(), Doubt()]
        assert [e.seq for e in mail.entries()] == [1]

    async def test_an_opener_that_changed_nothing_tells_nobody(self, harness: Harness) -> None:
        """A thousand instances that meet one loss make one epoch and one stir."""
        await opened(harness.one)
        mail = Mailbox()
        following = await harness.one.follow(TALK, mail)
        await harness.other.open(TALK, None, 0, {})
        await harness.settle()
        following.close()
        assert mail.deliveries == []

    async def test_refused_and_repeated_appends_are_not_published(self, harness: Harness) -> None:
        """What is delivered is stored, and stored just then."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 2))
        mail = Mailbox()
        following = await harness.one.follow(TALK, mail)
        await append(harness.one, piece(position, 1), piece(position, 5), piece(position, 2, OTHER))
        await harness.settle()
        following.close()
        assert mail.deliveries == []


class TestDropping:
    async def test_a_dropped_log_is_gone_and_stays_gone(self, harness: Harness) -> None:
        """No late append, fence or checkpoint brings anything of it back."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        await harness.other.drop([TALK, "c_none"])
        assert await append(harness.one, piece(position, 3)) == [Refused(Refusal.EPOCH)]
        refused = await harness.one.fence(TALK, position.epoch, ANSWER, 2)
        assert refused == Refused(Refusal.EPOCH)
        await harness.one.checkpoint([Checkpoint(TALK, position.epoch, ANSWER, 2)])
        assert await harness.one.open(TALK, position.epoch, 0, {}) is None
        assert await harness.one.heads([TALK]) == {TALK: None}
        assert await harness.one.read(TALK, position, 10) == Lost(Loss.NO_LOG)

    async def test_other_conversations_keep_their_logs(self, harness: Harness) -> None:
        """Erasure takes what it names."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        gone = [f"c_{n}" for n in range(20)]
        for conversation in gone:
            await opened(harness.one, conversation=conversation)
        await harness.one.drop(gone)
        assert await harness.one.heads(gone) == dict.fromkeys(gone)
        assert len(await stored(harness.one, position.epoch)) == 2

    async def test_followers_of_a_dropped_log_are_told(self, harness: Harness) -> None:
        """So a socket on another instance learns of an erasure at once."""
        await opened(harness.one)
        mail = Mailbox()
        following = await harness.other.follow(TALK, mail)
        await harness.one.drop([TALK])
        await harness.settle()
        following.close()
        assert mail.deliveries == [Doubt()]


class TestRollingBack:
    async def test_a_log_below_a_known_position_takes_nothing(self, harness: Harness) -> None:
        """Its next seq was given before; the refusal says where it stands."""
        position = await opened(harness.one)
        await say(harness.one, position, range(1, 3))
        saved = await harness.save(TALK)
        await say(harness.one, position, range(3, 6))
        await harness.restore(TALK, saved)
        knows = Position(position.epoch, 5)
        back = Position(position.epoch, 2)
        assert await append(harness.one, piece(knows, 6), row(knows, 1)) == [
            Refused(Refusal.ROLLED_BACK, back, last=2),
            Refused(Refusal.ROLLED_BACK, back),
        ]
        assert await harness.one.heads([TALK]) == {TALK: back}
        assert await harness.one.read(TALK, knows, 10) == Lost(Loss.AHEAD, back)

    async def test_whoever_learns_of_it_opens_a_new_epoch(self, harness: Harness) -> None:
        """Then a position from before says by its epoch that it is lost."""
        position = await opened(harness.one)
        saved = await harness.save(TALK)
        await say(harness.one, position, range(1, 4))
        await harness.restore(TALK, saved)
        now = await harness.one.open(TALK, position.epoch, 0, {ANSWER: 1})
        assert now is not None
        assert await append(harness.one, piece(now, 1)) == [Appended(1)]
        after = await harness.other.read(TALK, Position(position.epoch, 3), 10)
        assert after == Lost(Loss.EPOCH, Position(now.epoch, 1))
