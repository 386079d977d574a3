"""Epochs that this instance and others open: what they tell is known, and never guessed."""

import pytest

from protocol.types import Position
from server.streams.epochs import Epochs
from server.streams.stream import Stream
from storage.errors import Unavailable
from storage.records import Sent
from tests.support.faultylog import FaultyLog
from tests.support.place import Place
from tests.support.rows import World


class Two:
    """Two instances that know one conversation, over one log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = FaultyLog()
        self.epochs = Epochs(self.log, world.store.internal)

    def stream(self, sent: Sent) -> Stream:
        """What an instance knows that has just heard of it."""
        return Stream(self.world.tenant, sent.conversation)


@pytest.fixture
def two(place: Place) -> Two:
    """Of them."""
    return Two(place.world)


async def test_who_opens_first_decides_what_is_told(two: Two) -> None:
    """The sender's reading lacks its message, which is told; whoever comes second learns that."""
    sent = await two.world.send()
    ours, theirs = two.stream(sent), two.stream(sent)
    position = await two.epochs.begin(ours, sent)
    assert position is not None
    assert await two.epochs.open(theirs, None) == position
    assert ours.told == theirs.told == 0


async def test_a_sender_that_comes_second_has_no_place(two: Two) -> None:
    """The other's reading has the message, so its epoch never tells of it."""
    sent = await two.world.send()
    ours, theirs = two.stream(sent), two.stream(sent)
    await two.epochs.open(theirs, None)
    assert await two.epochs.begin(ours, sent) is None
    assert ours.told == theirs.told == 2


async def test_a_lost_reply_of_an_opening_is_asked_for_again(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch was made, and is met as if another had."""
    sent = await two.world.send()
    stream = two.stream(sent)
    opened = two.log.open

    async def unheard(*args: object) -> Position | None:
        monkeypatch.setattr(two.log, "open", opened)
        await opened(*args)  # type: ignore[arg-type]
        raise Unavailable("a test")

    monkeypatch.setattr(two.log, "open", unheard)
    with pytest.raises(Unavailable):
        await two.epochs.open(stream, None)
    position = await two.epochs.open(stream, None)
    assert position == await two.epochs.head(sent.conversation)
    assert stream.told == 2


async def test_an_epoch_that_is_lost_again_is_opened_again(two: Two) -> None:
    """It was to replace one that is gone, too."""
    sent = await two.world.send()
    stream = two.stream(sent)
    first = await two.epochs.open(stream, None)
    await two.log.drop([sent.conversation])
    second = await two.epochs.open(stream, first.epoch)
    assert second.epoch != first.epoch
    assert stream.position == second


async def test_out_of_reach_is_not_nothing(two: Two) -> None:
    """Whoever took it for nothing would open an epoch in the place of one that is whole."""
    sent = await two.world.send()
    await two.epochs.open(two.stream(sent), None)
    two.log.gone = True
    with pytest.raises(Unavailable):
        await two.epochs.head(sent.conversation)
    two.log.gone = False
    assert await two.epochs.head(sent.conversation) is not None
    assert await two.epochs.head("c_nowhere") is None


async def test_who_opened_an_epoch_that_is_found_is_not_known(two: Two) -> None:
    """It may be older than what SQL is now; of one that is opened here all rows are SQL's."""
    sent = await two.world.send()
    ours, theirs = two.stream(sent), two.stream(sent)
    position = await two.epochs.find(ours)
    assert (ours.told, ours.sure) == (2, 2)
    assert await two.epochs.find(theirs) == position
    assert (theirs.told, theirs.sure) == (2, 0)
