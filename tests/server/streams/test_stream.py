"""What is known of one conversation's log."""

from protocol.types import Position
from server.streams.stream import Stream


def test_the_highest_place_seen_counts() -> None:
    """Replies may come in any order."""
    stream = Stream("t", "c")
    for seq in (3, 7, 5):
        stream.seen(Position("e", seq))
    assert stream.position == Position("e", 7)


def test_another_epoch_has_been_told_nothing() -> None:
    """Whoever tells next has to find out what it has."""
    stream = Stream("t", "c")
    stream.seen(Position("e", 7))
    stream.told = 4
    stream.seen(Position("f", 0))
    assert stream.position == Position("f", 0)
    assert stream.told is None


def test_who_lags_behind_does_not_bring_a_past_epoch_back() -> None:
    """An answer's last word may be from before the loss."""
    stream = Stream("t", "c")
    stream.advanced(Position("e", 1))
    stream.advanced(Position("e", 2))
    assert stream.position == Position("e", 2)
    stream.seen(Position("f", 0))
    stream.advanced(Position("e", 9))
    assert stream.position == Position("f", 0)


def test_nothing_leans_on_a_new_one() -> None:
    """It can be forgotten."""
    assert not Stream("t", "c").in_use


def test_numbers_that_may_mean_others_are_forgotten() -> None:
    """The place is not: that is the log's."""
    stream = Stream("t", "c_1")
    stream.seen(Position("e", 4))
    stream.has_rows("e", 7)
    stream.sure = stream.highest = 7
    stream.doubt()
    assert (stream.position, stream.told, stream.sure, stream.highest) == (
        Position("e", 4),
        None,
        0,
        0,
    )
