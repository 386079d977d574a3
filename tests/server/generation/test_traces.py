"""What a log tells of an answer whose owner is gone."""

import pytest
from msgspec import structs

from protocol.codec import Unknown
from protocol.frames.from_server import Chunk, Logged, Reset, Status
from protocol.types import AnswerState, ResetReason
from server.generation import traces
from server.generation.traces import Traces
from server.streams.entry import encode
from server.streams.writer import Writer
from storage.log import Append, Appended, Checkpoint, Retention
from storage.memory.log import MemoryLog
from storage.records import Answer, Sent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import Scene
from tests.server.streams.desk import answer

STATUS = Status(conversation="c_1", answer="m_2", attempt=1, state=AnswerState.GENERATING)
RESET = Reset(conversation="c_1", answer="m_2", attempt=2, reason=ResetReason.RETRY)


NEWER = Unknown("mood", "c_1", 2)


def chunk(offset: int, text: str) -> Chunk:
    """Of that answer."""
    return Chunk(answer="m_2", offset=offset, text=text)


def found(
    *frames: Logged | Unknown, of: Answer | None = None, after: int = 0, row: bool = True
) -> Traces:
    """As they may be found in the epoch `e`."""
    return Traces(of or answer(), "e", after, frames, after + len(frames), row)


SAVED = structs.replace(answer(length=4), epoch="e", seq=7)
ELSEWHERE = structs.replace(SAVED, epoch="d")


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (found(), 0),
        (found(STATUS), 0),
        (found(STATUS, chunk(0, "a😀"), chunk(3, "b")), 4),
        (found(NEWER, chunk(0, "a"), NEWER, chunk(1, "b"), NEWER), 2),
        (found(chunk(4, "b"), of=SAVED, after=7), 5),
        (found(STATUS, of=SAVED, after=7), None),
        (found(STATUS, of=SAVED), 0),
        (found(STATUS, of=ELSEWHERE, after=7), 0),
        (found(chunk(0, "abc"), RESET, chunk(0, "d"), of=structs.replace(SAVED, attempt=2)), 1),
        (found(chunk(0, "abc"), of=structs.replace(SAVED, attempt=2)), None),
        (found(chunk(0, "abc"), RESET, chunk(0, "d")), None),  # SQL went back to the first attempt
    ],
)
def test_how_far_it_was_told(of: Traces, told: int | None) -> None:
    """Known from the last chunk, or where nothing of it was trimmed."""
    assert of.told == told


def test_text_beyond_what_is_stored_is_found() -> None:
    """Wherever the checkpoint fell, but not behind a hole."""
    texts = found(chunk(0, "ab"), NEWER, chunk(2, "cd"))
    assert [texts.beyond(stored) for stored in (0, 1, 4, 9)] == ["abcd", "bcd", "", ""]
    assert found(chunk(5, "x")).beyond(4) == found(STATUS).beyond(0) == ""
    assert found(chunk(0, "ab"), RESET, chunk(0, "abc")).beyond(2) == ""  # of another attempt


def test_silence_is_sure_only_behind_the_row() -> None:
    """Whoever was shown something may have been so in an epoch before."""
    assert found(STATUS).silent
    assert not found(STATUS, row=False).silent
    assert not found(chunk(0, "a")).silent
    assert not found(STATUS, NEWER).silent


async def spoken(scene: Scene, *texts: str) -> tuple[Sent, Writer]:
    """An answer that says this."""
    sent = await scene.send(start=False)
    writer = await scene.hub.writer(await scene.answer(sent))
    for text in texts:
        writer.text(text)
        await writer.settled()
    return sent, writer


async def fill(scene: Scene, writer: Writer, many: int) -> None:
    """Rows of others behind it."""
    head = await scene.hub.head(writer.answer.conversation)
    assert head is not None
    for number in range(3, 3 + many):
        body = encode(STATUS)
        asked = Append(writer.answer.conversation, "*", 0, number, body, head)
        [result] = await scene.real_log.append([asked])
        assert isinstance(result, Appended)


async def test_its_own_frames_are_read(scene: Scene) -> None:
    """From its row on; and of another epoch, none."""
    sent, writer = await spoken(scene, "one ", "two")
    traced = await traces.find(scene.hub, writer.answer, writer.position.epoch)
    assert traced is not None
    assert (traced.told, traced.row, traced.last) == (7, True, writer.position.seq)
    assert traced.beyond(0) == "one two"
    await scene.real_log.drop([sent.conversation])
    assert await traces.find(scene.hub, writer.answer, writer.position.epoch) is None
    assert await traces.find(scene.hub, writer.answer, "another") is None


async def test_what_was_trimmed_is_not_missed(make: Makes) -> None:
    """It was checkpointed, and what was not is there."""
    scene = await make(own={"real_log": MemoryLog(Retention(entries=1))})
    _, writer = await spoken(scene, "one ")
    place = writer.position
    saved = structs.replace(writer.answer, epoch=place.epoch, seq=place.seq, length=4)
    await scene.real_log.checkpoint(
        [Checkpoint(saved.conversation, place.epoch, saved.id, place.seq)]
    )
    traced = await traces.find(scene.hub, saved, place.epoch)
    assert traced is not None
    assert traced.told == 4
    await fill(scene, writer, 3)
    traced = await traces.find(scene.hub, saved, place.epoch)
    assert traced is not None
    assert (traced.told, traced.row) == (None, False)


async def test_a_log_that_was_rolled_back_is_read_from_its_beginning(scene: Scene) -> None:
    """It stands below the checkpoint, and whoever appends to it next opens another."""
    _, writer = await spoken(scene, "one ")
    ahead = structs.replace(writer.answer, epoch=writer.position.epoch, seq=90, length=4)
    traced = await traces.find(scene.hub, ahead, writer.position.epoch)
    assert traced is not None
    assert (traced.after, traced.told) == (0, 4)
