"""What readers and followers are given."""

from protocol.types import Position, Seq
from storage.log import Doubt, Loss, Lost, Retention, Slice
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
from tests.contracts.event_log.harness import Harness, Mailbox


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


async def test_a_log_is_watched_while_somebody_follows_it(harness: Harness) -> None:
    """Through whichever client; of others, and of what does not exist, nothing is said."""
    await opened(harness.one)
    assert await harness.one.watched([TALK, "c_other"]) == []
    following = await harness.other.follow(TALK, Mailbox())
    assert list(await harness.one.watched([TALK, "c_other"])) == [TALK]
    following.close()
    await harness.settle()
    assert await harness.one.watched([TALK, "c_other"]) == []
