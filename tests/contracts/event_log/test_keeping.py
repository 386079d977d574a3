"""What stays, how long, and what is left when it is gone."""

import pytest

from protocol.types import Position
from storage.log import Appended, Checkpoint, Doubt, Loss, Lost, Refusal, Refused, Retention
from tests.contracts.event_log.calls import (
    ANSWER,
    OTHER,
    TALK,
    Make,
    append,
    oldest,
    opened,
    piece,
    row,
    say,
    stored,
)
from tests.contracts.event_log.harness import Harness, Mailbox


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

    async def test_a_followed_log_does_not_expire(self, make: Make) -> None:
        """Its follower's client looks at it; left, it lives on as after any other use."""
        harness = await make(Retention(idle_ms=1000))
        position = await opened(harness.one)
        await opened(harness.one, conversation="c_more")
        mail = Mailbox()
        following = await harness.one.follow(TALK, mail)
        for _ in range(20):
            await harness.pass_time(200)
            assert await harness.one.heads([TALK]) == {TALK: position}
        assert await harness.one.heads(["c_more"]) == {"c_more": None}
        following.close()
        await harness.pass_time(700)
        assert await append(harness.other, piece(position, 1)) == [Appended(1)]
        await harness.pass_time(1001)
        assert await harness.one.heads([TALK]) == {TALK: None}
        assert mail.deliveries == []

    async def test_following_brings_nothing_back(self, make: Make) -> None:
        """What has expired is gone, whoever comes then."""
        harness = await make(Retention(idle_ms=1000))
        await opened(harness.one)
        await harness.pass_time(1001)
        following = await harness.one.follow(TALK, Mailbox())
        assert await harness.one.heads([TALK]) == {TALK: None}
        following.close()

    async def test_of_two_followers_the_last_one_keeps_it(self, make: Make) -> None:
        """And an opening elsewhere, at which what has expired is let go, takes nothing from it."""
        harness = await make(Retention(idle_ms=1000))
        position = await opened(harness.one)
        first, last = [await harness.one.follow(TALK, Mailbox()) for _ in range(2)]
        for turn in range(10):
            await harness.pass_time(200)
            await harness.one.heads([TALK])
            await opened(harness.one, conversation=f"c_{turn}")
        first.close()
        for _ in range(10):
            await harness.pass_time(200)
            await harness.one.heads([TALK])
        assert await append(harness.one, piece(position, 1)) == [Appended(1)]
        last.close()


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
