"""A conversation as a device is shown it that has no position in its log.

What SQL says and where the log stands must fit together. The log's head is asked for before SQL is
read, so every row told up to it is in the rows read. An answer's checkpoint may be further on, and
whatever was told before it was committed before it, too. So the snapshot stands at the highest of
these positions, and what answers said between their checkpoints and there is read from the log.

What an answer said leaves the log only once SQL has it. So where entries are missing behind an
answer's checkpoint SQL is asked again, and if it has more of that answer by now, all is read anew.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, structs

from protocol.codec import Unknown
from protocol.folding import FOLDED_TEXT_BYTES
from protocol.frames import from_server as s
from protocol.frames import objects as o
from protocol.text import utf16_length, utf16_slice
from protocol.types import AnswerState, Position, Seq
from server.streams import shapes
from server.streams.entry import decode
from server.streams.hub import Hub
from server.streams.pages import ROOM_BYTES, TOOLS_BYTES, page, slim
from storage.errors import Unavailable
from storage.log import ROWS, Entry, Lost
from storage.records import Answer, RunState, Snapshot, Unfinished
from storage.store import History
from storage.values import Owner

TEXT_BYTES = 64 * 1024  # of a frame's, what texts of unfinished answers may take
TRIES = 3
PAGE = 1000


class Shown(Struct, frozen=True):
    """What the device is sent, where it stands then, and how much of each answer it has."""

    attached: s.Attached
    rest: tuple[s.Chunk, ...]
    position: Position
    lengths: dict[str, int]


class _Said(Struct):
    """An unfinished answer as of the snapshot's position."""

    row: Unfinished
    after: Seq  # where in the log begins what SQL has not
    text: str
    length: int
    state: AnswerState
    attempt: int
    cited: list[o.Cited]
    in_doubt: bool = False  # entries behind that are gone, perhaps some of its own

    def hear(self, frame: s.Logged | Unknown) -> None:
        """What the log told of it behind its checkpoint."""
        match frame:
            case s.Chunk():
                self._append(frame)
            case s.Reset():
                self.text, self.length, self.attempt, self.cited = "", 0, frame.attempt, []
            case s.Citation():
                cited = o.Cited(start=frame.start, end=frame.end, sources=frame.sources)
                if cited not in self.cited:
                    self.cited.append(cited)
            case s.Status():
                self.state = frame.state

    def _append(self, chunk: s.Chunk) -> None:
        end = chunk.offset + utf16_length(chunk.text)
        if chunk.offset <= self.length < end:
            new = utf16_slice(chunk.text, self.length - chunk.offset, end - chunk.offset)
            self.text += new or ""
            self.length = end


async def show(hub: Hub, history: History, owner: Owner, conversation: str, most: int) -> Shown:
    """The newest `most` messages of the active branch, and every unfinished answer."""
    for _ in range(TRIES):
        head = await hub.head(conversation)
        snapshot = await history.snapshot(owner, conversation, limit=max(1, most))
        if head is None:
            # Only now is it known to be the owner's: nobody else's id may open a log.
            await hub.position(owner.tenant, conversation)
            continue
        position = _position(head, snapshot)
        said = await _said(hub, conversation, position, snapshot.unfinished)
        if said is None or not await _complete(history, owner, position, said):
            continue
        shown = _shown(conversation, position, snapshot, said, most)
        forks = any(len(message.siblings) > 1 for message in snapshot.branch.messages)
        if not ((forks or shown.attached.more) and await _conceals(hub, shown)):
            return shown
    raise Unavailable("the conversation's log changes faster than it can be read")


async def _conceals(hub: Hub, shown: Shown) -> bool:
    """Whether an answer speaks behind the position that is neither shown nor named there.

    It ended between the looks at the log and at SQL, on another branch. What it said stood in the
    log before SQL had its end, so nothing of it comes behind where the log stands now.
    """
    attached, after = shown.attached, shown.position
    now = await hub.head(attached.conversation)
    if now is None or now.epoch != after.epoch:
        return False  # it will be lost, and shown anew
    known = {message.id for message in attached.messages or []}
    known |= {each.answer for each in attached.answers}
    while after < now:
        found = await hub.read(attached.conversation, after, min(PAGE, now.seq - after.seq))
        if isinstance(found, Lost) or not found.entries:
            return False  # the same
        for entry in found.entries:
            frame = decode(entry.body, entry.seq) if entry.source == ROWS else None
            if isinstance(frame, s.MessageMade):
                known.add(frame.message.id)
            elif frame is None and entry.source not in known:
                return True
        after = Position(after.epoch, found.entries[-1].seq)
    return False


def _position(head: Position, snapshot: Snapshot) -> Position:
    checkpoints = (
        each.answer.seq for each in snapshot.unfinished if each.answer.epoch == head.epoch
    )
    return Position(head.epoch, max([head.seq, *checkpoints]))


async def _said(
    hub: Hub, conversation: str, position: Position, unfinished: Sequence[Unfinished]
) -> list[_Said] | None:
    """What each of them had said at the position; None: the log has changed meanwhile."""
    said = [
        _Said(
            each,
            _said_until(each.answer, position),
            each.text,
            utf16_length(each.text),
            shapes.state(each.answer),
            each.answer.attempt,
            shapes.citations(each.citations),
        )
        for each in unfinished
    ]
    if not said:
        return said
    by_id = {each.row.answer.id: each for each in said}
    after = Position(position.epoch, min(each.after for each in said))
    while after < position:
        answer = await hub.read(conversation, after, min(PAGE, position.seq - after.seq))
        if isinstance(answer, Lost):
            if answer.position is None or answer.position.epoch != after.epoch:
                return None
            if answer.oldest <= after.seq:
                return None
            after = Position(after.epoch, min(answer.oldest, position.seq))
            for each in said:
                each.in_doubt |= each.after < after.seq
            continue
        if not answer.entries:
            return None
        for entry in answer.entries:
            _hear(by_id, entry)
        after = Position(after.epoch, answer.entries[-1].seq)
    return said


def _said_until(answer: Answer, position: Position) -> Seq:
    """Up to where in the log SQL has what it told."""
    if answer.state is RunState.QUEUED:  # it speaks behind the position, if it does by now
        return position.seq
    # What was checkpointed in an epoch before is told anew from this one's beginning.
    return answer.seq if answer.epoch == position.epoch else 0


def _hear(by_id: dict[str, _Said], entry: Entry) -> None:
    answer = by_id.get(entry.source)
    if answer is not None and entry.seq > answer.after:
        answer.hear(decode(entry.body, entry.seq))


async def _complete(
    history: History, owner: Owner, position: Position, said: Sequence[_Said]
) -> bool:
    """Whether SQL still has no more than was read of those in doubt: then nothing is missing."""
    doubtful = [each.row.answer for each in said if each.in_doubt]
    if not doubtful:
        return True
    standing = await history.standing(owner, doubtful[0].conversation, position)
    return {_mark(answer) for answer in doubtful} <= {_mark(a) for a in standing.unfinished}


def _mark(answer: Answer) -> tuple[object, ...]:
    return answer.id, answer.attempt, answer.epoch, answer.seq, answer.length


def _shown(
    conversation: str, position: Position, snapshot: Snapshot, said: list[_Said], most: int
) -> Shown:
    answers: list[o.Unfinished] = []
    rest: list[s.Chunk] = []
    room, tools_room = TEXT_BYTES, TOOLS_BYTES // max(1, len(said))
    for each in said:
        text = _beginning(each.text, room)
        room -= len(msgspec.json.encode(text))
        shown = shapes.unfinished(
            each.row,
            text=text,
            length=each.length,
            state=each.state,
            attempt=each.attempt,
            citations=each.cited,
        )
        answers.append(structs.replace(shown, tools=slim(shown.tools or [], tools_room)))
        rest += _chunks(each.row.answer.id, each.text[len(text) :], utf16_length(text))
    # Unfinished answers stand in `answers` alone.
    under_way = {each.row.answer.id for each in said}
    rows = [row for row in snapshot.branch.messages if row.id not in under_way]
    left = ROOM_BYTES - len(msgspec.json.encode(answers))
    messages, cut = page(rows[-most:] if most else [], left)
    attached = s.Attached(
        conversation=conversation,
        epoch=position.epoch,
        seq=position.seq,
        recovered=False,
        leaf=snapshot.branch.leaf,
        answers=answers,
        messages=messages,
        more=cut or snapshot.branch.more or len(messages) < len(rows),
    )
    lengths = {each.row.answer.id: each.length for each in said if each.length}
    return Shown(attached, tuple(rest), position, lengths)


def _beginning(text: str, room: int) -> str:
    """As much of it as takes at most so many bytes; six bytes are the most a character takes."""
    if len(msgspec.json.encode(text)) <= room:
        return text
    return text[: max(0, room) // 6]


def _chunks(answer: str, text: str, offset: int) -> list[s.Chunk]:
    chunks = []
    size = FOLDED_TEXT_BYTES // 6
    for begin in range(0, len(text), size):
        part = text[begin : begin + size]
        chunks.append(s.Chunk(answer=answer, offset=offset, text=part))
        offset += utf16_length(part)
    return chunks
