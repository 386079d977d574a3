"""Short forms of calls to a log, for the suites."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from protocol.types import Epoch, Id, Position, Seq
from storage.log import ROWS, Append, Appended, EventLog, Lost, Refused, Retention, Slice
from tests.contracts.event_log.harness import Harness

TALK = "c_talk"
ANSWER = "m_answer"
OTHER = "m_other"

Make = Callable[[Retention], Awaitable[Harness]]


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
