"""One conversation as a client holds it, brought level by `attached` and by the frames of its log.

Whoever feeds it every frame of the conversation, in the order of their arrival, gets back what each
one did (`Effect`). The rules:

- `seq` has no holes. What is known already is dropped; what skips ahead shows a hole.
- A replica that saw a hole or a mismatch is not level: it takes nothing but `attached`, so that one
  fault asks for one re-attachment, and what was under way meanwhile does no harm.
- Text is appended at its offset and nowhere else; `complete` proves the whole of it.
- Rows merge by id. A known row stays, for whatever changes it comes as a frame of its own.
- Frames of an answer that is not unfinished here are late ones: they count, and change nothing.
"""

from enum import Enum

from msgspec.structs import replace

from protocol.codec import Unknown
from protocol.folding import first_seq
from protocol.frames.from_server import (
    Attached,
    Chunk,
    Citation,
    Complete,
    ConversationChanged,
    FeedbackGiven,
    Logged,
    MessageMade,
    Reset,
    Status,
    Text,
    Thought,
    Tool,
)
from protocol.frames.objects import Cited, Conversation, Feedback, Message, ToolCall, Unfinished
from protocol.text import crc32, utf16_length
from protocol.types import AnswerState, Position, Role


class Effect(Enum):
    """What a frame did to the replica."""

    APPLIED = "applied"
    REPEATED = "repeated"  # known already
    IGNORED = "ignored"  # late, or meant for a replica that is level
    HOLE = "hole"  # frames are missing: attach from `resume`
    MISMATCH = "mismatch"  # what is held here is wrong: attach without a position


class Growing:
    """A text that grows at its end: appending costs what is appended, however long the text is."""

    def __init__(self, text: str = "", *, start: int | None = 0) -> None:
        self.start = start  # None: the beginning is not told, so the first piece may stand anywhere
        self.crc32 = 0
        self._pieces: list[str] = []
        self._length = 0
        if text:
            self._grow(text)

    def __repr__(self) -> str:
        """Show the size, never the text."""
        return f"<Growing {self._length}>"

    @property
    def length(self) -> int:
        """UTF-16 code units, from the start of what is held."""
        return self._length

    @property
    def text(self) -> str:
        """All of it, joined; ask when it is to be shown, not for each piece."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def append(self, text: str, offset: int) -> bool:
        """Append `text` if `offset` is where this ends."""
        if self.start is None:
            self.start = offset
        if offset != self.start + self._length:
            return False
        self._grow(text)
        return True

    def _grow(self, text: str) -> None:
        self._pieces.append(text)
        self._length += utf16_length(text)
        self.crc32 = crc32(text, self.crc32)


class Answer:
    """An answer that has not ended."""

    def __init__(self, answer: str) -> None:
        self.id = answer
        self.attempt = 1
        self.state = AnswerState.QUEUED
        self.text = Growing()
        self.promised = 0  # how long a snapshot said that the text is
        self.thought = Growing()
        self.tools: dict[str, ToolCall] = {}
        self.citations: list[Cited] = []

    @classmethod
    def shown(cls, snapshot: Unfinished) -> "Answer":
        """As a snapshot shows it; where that leaves the reasoning out, it may go on anywhere."""
        answer = cls(snapshot.answer)
        answer.attempt = snapshot.attempt
        answer.state = snapshot.state
        answer.text = Growing(snapshot.text or "")
        answer.promised = answer.text.length if snapshot.length is None else snapshot.length
        answer.thought = Growing(snapshot.thought or "", start=0 if snapshot.thought else None)
        answer.tools = {call.call: call for call in snapshot.tools or []}
        answer.citations = list(snapshot.citations or [])
        return answer

    def __repr__(self) -> str:
        """Show where it stands, never its text."""
        return f"<Answer {self.id} attempt={self.attempt} {self.state.value} {self.text.length}>"

    @property
    def whole(self) -> bool:
        """Whether all the text is here that a snapshot promised."""
        return self.text.length >= self.promised

    def take(self, frame: Logged) -> bool:
        """Apply one of its frames; False if it does not go on where this stands."""
        match frame:
            case Chunk():
                return self.text.append(frame.text, frame.offset)
            case Thought():
                return self.thought.append(frame.text, frame.offset)
            case Status():
                if frame.attempt != self.attempt:
                    return False
                self.state = frame.state
            case Citation():
                self.citations.append(
                    Cited(start=frame.start, end=frame.end, sources=frame.sources)
                )
            case Tool():
                self.tools[frame.call] = _merged(self.tools.get(frame.call), frame)
            case Reset():
                return self._reset(frame)
            case Complete():
                return self._proven(frame)
        return True

    def _reset(self, frame: Reset) -> bool:
        """Forget what was said; the calls of tools stay, for they did happen."""
        if frame.attempt <= self.attempt:
            return False
        self.attempt = frame.attempt
        self.text, self.thought, self.citations = Growing(), Growing(), []
        self.promised = 0
        return True

    def _proven(self, frame: Complete) -> bool:
        held = (self.attempt, self.text.length, self.text.crc32)
        return held == (frame.attempt, frame.length, frame.crc32)


class Replica:
    """One conversation. `position` is None while it holds nothing to go on from.

    `messages` has every known row; the row of an answer in `answers` is still empty. Where a
    snapshot left them out, `created_at` is empty and `siblings` names the row alone.
    """

    def __init__(self, conversation: str, position: Position | None = None) -> None:
        self.conversation = conversation
        self.position = position
        self.level = position is not None
        self.breaks = 0  # holes and mismatches since a frame was last taken
        self.leaf: str | None = None
        self.about: Conversation | None = None
        self.more = False
        self.messages: dict[str, Message] = {}
        self.answers: dict[str, Answer] = {}

    def __repr__(self) -> str:
        """Show the position and the counts, never a text."""
        held = f"messages={len(self.messages)} answers={list(self.answers.values())}"
        return f"<Replica {self.conversation} {self.position} level={self.level} {held}>"

    @property
    def resume(self) -> Position | None:
        """From where to attach; None asks for a snapshot, as does text that came only in part."""
        return self.position if self._whole else None

    @property
    def _whole(self) -> bool:
        return all(answer.whole for answer in self.answers.values())

    def branch(self, leaf: str | None = None) -> list[Message]:
        """The known rows of the branch that ends in `leaf` (default: the active one)."""
        rows: list[Message] = []
        row = self.messages.get(leaf or self.leaf or "")
        while row is not None and len(rows) < len(self.messages):  # a ring would never end
            rows.append(row)
            row = self.messages.get(row.parent) if row.parent else None
        return rows[::-1]

    def merge(self, rows: list[Message]) -> None:
        """Add what a page of history shows."""
        for row in rows:
            self._add(row)

    def lost(self) -> None:
        """The connection ended: only another `attached` makes this level again."""
        self.level = False

    def apply(self, frame: Attached | Logged | Unknown) -> Effect:
        """Take one frame of this conversation."""
        if isinstance(frame, Attached):
            return self._attached(frame)
        if not self.level or self.position is None:
            return Effect.IGNORED
        if not frame.seq:
            return self._fill(frame)
        first = first_seq(frame) if isinstance(frame, Text) else frame.seq
        if frame.seq <= self.position.seq:
            return Effect.REPEATED
        # A chunk that begins before our end and goes beyond it also counts as a hole: what is held
        # is sound, and attaching from here gives exactly the rest, while cutting its text at our
        # offset would trust that both ends folded the same frames.
        if first != self.position.seq + 1:
            return self._broken(Effect.HOLE)
        if not self._whole:  # the log goes on only behind the whole snapshot
            return self._broken(Effect.MISMATCH)
        effect = self._take(frame) if isinstance(frame, Logged) else Effect.APPLIED
        if effect is Effect.MISMATCH:
            return self._broken(effect)
        self.position = Position(self.position.epoch, frame.seq)
        self.breaks = 0
        return effect

    def _attached(self, frame: Attached) -> Effect:
        if not frame.recovered:
            self._replace(frame)
            return Effect.APPLIED
        if self.position is None or frame.epoch != self.position.epoch:
            return self._broken(Effect.MISMATCH)
        if frame.seq > self.position.seq:
            return self._broken(Effect.HOLE)
        self.level = True
        return Effect.APPLIED

    def _replace(self, frame: Attached) -> None:
        self.position = Position(frame.epoch, frame.seq)
        self.level = True
        self.leaf = frame.leaf
        self.more = bool(frame.more)
        self.messages = {row.id: row for row in frame.messages or []}
        self.answers = {shown.answer: Answer.shown(shown) for shown in frame.answers}
        for shown in frame.answers:
            self.messages[shown.answer] = Message(
                id=shown.answer,
                conversation=self.conversation,
                role=Role.ASSISTANT,
                content="",
                parent=shown.parent,
                siblings=shown.siblings or [shown.answer],
                created_at=shown.created_at or "",
                feedback=shown.feedback,
            )

    def _fill(self, frame: Logged | Unknown) -> Effect:
        """A chunk outside the log completes a snapshot's text, before anything else comes."""
        answer = self.answers.get(frame.answer) if isinstance(frame, Text) else None
        if answer is None or not isinstance(frame, Text):
            return Effect.IGNORED
        if answer.whole or not answer.take(frame):
            return self._broken(Effect.MISMATCH)
        return Effect.APPLIED

    def _broken(self, effect: Effect) -> Effect:
        """Ask to be brought level again; a second time without progress gives the position up."""
        self.level = False
        self.breaks += 1
        if effect is Effect.MISMATCH or self.breaks > 1:
            self.position = None
        return effect

    def _take(self, frame: Logged) -> Effect:
        match frame:
            case MessageMade():
                return self._made(frame.message)
            case FeedbackGiven():
                row = self.messages.get(frame.message)
                if row is None:
                    return Effect.IGNORED
                given = Feedback(rating=frame.rating, comment=frame.comment)
                self.messages[row.id] = replace(row, feedback=given)
            case ConversationChanged():
                self.about = frame.conversation
                self.leaf = frame.conversation.leaf
            case Status() | Text() | Citation() | Tool() | Reset() | Complete():
                return self._of_answer(frame)
        return Effect.APPLIED

    def _made(self, row: Message) -> Effect:
        """A new row is the active leaf, until `conversation` says otherwise."""
        self._add(row)
        self.leaf = row.id
        if row.role is Role.ASSISTANT and self.messages[row.id].outcome is None:
            self.answers.setdefault(row.id, Answer(row.id))
        return Effect.APPLIED

    def _of_answer(self, frame: Status | Text | Citation | Tool | Reset | Complete) -> Effect:
        answer = self.answers.get(frame.answer)
        if answer is None:
            return Effect.IGNORED
        if not answer.take(frame):
            return Effect.MISMATCH
        if isinstance(frame, Complete):
            del self.answers[answer.id]
            self.messages[answer.id] = _ended(self.messages[answer.id], answer, frame)
        return Effect.APPLIED

    def _add(self, row: Message) -> None:
        old = self.messages.setdefault(row.id, row)
        if not old.created_at:
            self.messages[row.id] = replace(old, created_at=row.created_at, metadata=row.metadata)
        for sibling in row.siblings:
            held = self.messages.get(sibling)
            # The list only grows, so of two the longer is the later one.
            if held is not None and len(held.siblings) < len(row.siblings):
                self.messages[sibling] = replace(held, siblings=row.siblings)


def _merged(known: ToolCall | None, frame: Tool) -> ToolCall:
    """The call as it stands now: what a later frame leaves out stays as it was told."""
    call = known or ToolCall(call=frame.call, name=frame.name, state=frame.state)
    return replace(
        call,
        state=frame.state,
        arguments=call.arguments if frame.arguments is None else frame.arguments,
        args_hash=frame.args_hash or call.args_hash,
        result=call.result if frame.result is None else frame.result,
        expires_at=frame.expires_at or call.expires_at,
    )


def _ended(row: Message, answer: Answer, frame: Complete) -> Message:
    """The answer's row as `history` will show it."""
    return replace(
        row,
        content=answer.text.text,
        outcome=frame.outcome,
        attempt=frame.attempt,
        finish_reason=frame.finish_reason,
        model=frame.model,
        provider=frame.provider,
        usage=frame.usage,
        citations=answer.citations,
        sources=frame.sources,
        tools=list(answer.tools.values()),
    )
