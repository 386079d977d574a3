"""A conversation as a server keeps it, in the plainest way: an oracle for what clients must show.

`Room` writes a log and tells what the conversation is after each of its frames. It joins strings
and copies dictionaries where the code under test is frugal, and shares nothing with it but frames.
"""

import copy
import random
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from msgspec.structs import asdict, replace

from protocol.folding import fold
from protocol.frames import from_server as s
from protocol.frames.objects import (
    Cited,
    Conversation,
    Feedback,
    Message,
    Source,
    Timings,
    ToolCall,
    Unfinished,
)
from protocol.types import (
    AnswerState,
    ConversationStatus,
    FinishReason,
    Outcome,
    ResetReason,
    Role,
    ToolState,
    Usage,
)

NOON = "2026-11-20T12:00:00.000Z"
WORDS = ("one ", "zwei", "três", "\n", " 四", "👩‍👩‍👧", "\U0001f600", "e\u0301", '"', "\\", "x" * 9)
USAGE = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2, cost_usd=0.0)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@dataclass
class Running:
    """An unfinished answer."""

    parent: str | None
    attempt: int = 1
    state: AnswerState = AnswerState.QUEUED
    text: str = ""
    thought: str = ""
    tools: dict[str, ToolCall] = field(default_factory=dict)
    citations: list[Cited] = field(default_factory=list)


@dataclass
class State:
    """The whole conversation at one place of its log."""

    rows: dict[str, Message] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    leaf: str | None = None


class Room:
    """One conversation: rows, log, and every state it went through in this epoch."""

    def __init__(self, conversation: str = "c", rows: str = "m") -> None:
        self.conversation = conversation
        self._rows = rows
        self.epoch = "e1"
        self.log: list[s.Logged] = []
        self.states = [State()]

    @property
    def now(self) -> State:
        return self.states[-1]

    def forget_log(self) -> None:
        """The log is lost: a new epoch begins with what the rows and checkpoints say."""
        self.epoch = f"e{int(self.epoch[1:]) + 1}"
        self.log, self.states = [], [self.now]

    def append(self, frame: s.Logged) -> s.Logged:
        """Store a frame and what it changes."""
        frame = replace(frame, seq=len(self.log) + 1)
        state = State(dict(self.now.rows), copy.deepcopy(self.now.running), self.now.leaf)
        self._change(state, frame)
        self.log.append(frame)
        self.states.append(state)
        return frame

    def _change(self, state: State, frame: s.Logged) -> None:
        match frame:
            case s.MessageMade(message=row):
                state.rows[row.id] = row
                for sibling in row.siblings:
                    state.rows[sibling] = replace(state.rows[sibling], siblings=row.siblings)
                state.leaf = row.id
                if row.role is Role.ASSISTANT:
                    state.running[row.id] = Running(row.parent)
            case s.Complete():
                self._end(state, frame)
            case s.FeedbackGiven():
                given = Feedback(rating=frame.rating, comment=frame.comment)
                state.rows[frame.message] = replace(state.rows[frame.message], feedback=given)
            case s.ConversationChanged():
                state.leaf = frame.conversation.leaf
            case s.Status() | s.Text() | s.Citation() | s.Tool() | s.Reset():
                self._go_on(state.running[frame.answer], frame)

    def _go_on(self, running: Running, frame: s.Logged) -> None:
        match frame:
            case s.Status():
                running.state = frame.state
            case s.Chunk():
                running.text += frame.text
            case s.Thought():
                running.thought += frame.text
            case s.Citation():
                cited = Cited(start=frame.start, end=frame.end, sources=frame.sources)
                running.citations.append(cited)
            case s.Tool():
                old = running.tools.get(frame.call)
                known = asdict(old) if old else {}
                told = {name: getattr(frame, name) for name in ToolCall.__struct_fields__}
                known |= {name: value for name, value in told.items() if value is not None}
                running.tools[frame.call] = ToolCall(**known)
            case s.Reset():
                running.attempt, running.text, running.thought = frame.attempt, "", ""
                running.citations = []

    def _end(self, state: State, frame: s.Complete) -> None:
        running = state.running.pop(frame.answer)
        state.rows[frame.answer] = replace(
            state.rows[frame.answer],
            content=running.text,
            outcome=frame.outcome,
            attempt=frame.attempt,
            finish_reason=frame.finish_reason,
            model=frame.model,
            provider=frame.provider,
            usage=frame.usage,
            citations=running.citations or None,
            sources=frame.sources or None,
            tools=list(running.tools.values()) or None,
        )

    # What happens in a conversation.

    def say(self, content: str, parent: str | None = None) -> str:
        """A user's message and its empty answer; returns the answer."""
        message = self.row(Role.USER, content, parent)
        return self.row(Role.ASSISTANT, "", message)

    def row(self, role: Role, content: str, parent: str | None) -> str:
        name = f"{self._rows}{len(self.now.rows) + 1}"
        siblings = [row.id for row in self.now.rows.values() if row.parent == parent]
        row = Message(
            id=name,
            conversation=self.conversation,
            role=role,
            content=content,
            parent=parent,
            siblings=[*siblings, name],
            created_at=NOON,
        )
        self.append(s.MessageMade(conversation=self.conversation, message=row))
        return name

    def status(self, answer: str, state: AnswerState) -> None:
        attempt = self.now.running[answer].attempt
        self.append(
            s.Status(conversation=self.conversation, answer=answer, attempt=attempt, state=state)
        )

    def chunk(self, answer: str, text: str) -> s.Chunk:
        offset = units(self.now.running[answer].text)
        frame = self.append(s.Chunk(answer=answer, offset=offset, text=text))
        assert isinstance(frame, s.Chunk)
        return frame

    def thought(self, answer: str, text: str) -> None:
        offset = units(self.now.running[answer].thought)
        self.append(
            s.Thought(conversation=self.conversation, answer=answer, offset=offset, text=text)
        )

    def cite(self, answer: str, title: str) -> None:
        end = units(self.now.running[answer].text)
        sources = [Source(document="d", title=title)]
        self.append(
            s.Citation(
                conversation=self.conversation, answer=answer, start=0, end=end, sources=sources
            )
        )

    def tool(self, answer: str, call: str, state: ToolState, **more: Any) -> None:
        self.append(
            s.Tool(
                conversation=self.conversation,
                answer=answer,
                call=call,
                name="clock",
                state=state,
                **more,
            )
        )

    def reset(self, answer: str) -> None:
        attempt = self.now.running[answer].attempt + 1
        self.append(
            s.Reset(
                conversation=self.conversation,
                answer=answer,
                attempt=attempt,
                reason=ResetReason.FALLBACK,
            )
        )

    def complete(self, answer: str, outcome: Outcome = Outcome.COMPLETE) -> None:
        running = self.now.running[answer]
        reason = FinishReason.STOP if outcome is Outcome.COMPLETE else FinishReason.STOPPED
        self.append(
            s.Complete(
                conversation=self.conversation,
                answer=answer,
                attempt=running.attempt,
                outcome=outcome,
                finish_reason=reason,
                length=units(running.text),
                crc32=crc32(running.text.encode()),
                usage=USAGE,
                model="scripted",
                provider="scripted",
                sources=[],
                degraded=[],
                timings_ms=Timings(queue=0, total=1),
            )
        )

    def rate(self, message: str, rating: str) -> None:
        self.append(s.FeedbackGiven(conversation=self.conversation, message=message, rating=rating))

    def select(self, leaf: str) -> None:
        changed = Conversation(
            id=self.conversation,
            title=None,
            status=ConversationStatus.ACTIVE,
            leaf=leaf,
            message_count=len(self.now.rows),
            created_at=NOON,
            updated_at=NOON,
        )
        self.append(s.ConversationChanged(conversation=changed))

    # What a socket is told.

    def since(self, seq: int, *, folded: bool = False) -> list[s.ServerFrame]:
        """The frames after a position."""
        missed = self.log[seq:]
        return list(fold(missed)) if folded else list(missed)

    def recovered(self, seq: int) -> s.Attached:
        running = [
            Unfinished(answer=name, parent=one.parent, state=one.state, attempt=one.attempt)
            for name, one in self.now.running.items()
        ]
        return s.Attached(
            conversation=self.conversation,
            epoch=self.epoch,
            seq=seq,
            recovered=True,
            leaf=self.now.leaf,
            answers=running,
        )

    def snapshot(self, seq: int | None = None, *, fits: int = 10**9) -> list[s.ServerFrame]:
        """Rows as they are now, unfinished answers as they were at `seq`, an older place."""
        seq = len(self.log) if seq is None else seq
        then = self.states[seq]
        shown, rest = [], []
        for name, row in self.now.rows.items():
            if name in self.now.running:
                old = then.running.get(name, Running(row.parent))
                unfinished, chunks = _shown(name, old, fits)
                shown.append(unfinished)
                rest += chunks
        rows = [row for row in self.branch() if row.id not in self.now.running]
        attached = s.Attached(
            conversation=self.conversation,
            epoch=self.epoch,
            seq=seq,
            recovered=False,
            leaf=self.now.leaf,
            messages=rows,
            more=False,
            answers=shown,
        )
        return [attached, *rest]

    def branch(self) -> list[Message]:
        rows: list[Message] = []
        name = self.now.leaf
        while name is not None:
            rows.insert(0, self.now.rows[name])
            name = rows[0].parent
        return rows


def _shown(name: str, old: Running, fits: int) -> tuple[Unfinished, list[s.ServerFrame]]:
    unfinished = Unfinished(
        answer=name,
        parent=old.parent,
        state=old.state,
        attempt=old.attempt,
        text=old.text[:fits] or None,
        length=units(old.text) if len(old.text) > fits else None,
        tools=list(old.tools.values()) or None,
        citations=list(old.citations) or None,
    )
    rest: list[s.ServerFrame] = [
        s.Chunk(answer=name, offset=units(old.text[:at]), text=old.text[at : at + fits])
        for at in range(fits, len(old.text), fits)
    ]
    return unfinished, rest


def live(room: Room, dice: random.Random, steps: int) -> None:
    """Let things happen, none of them illegal."""
    for _ in range(steps):
        running = list(room.now.running)
        if not running or dice.random() < 0.06:
            parents = [None, *room.now.rows]
            room.say(dice.choice(WORDS), dice.choice(parents))
            continue
        _live_once(room, dice, dice.choice(running))


def _live_once(room: Room, dice: random.Random, answer: str) -> None:
    deeds = {
        "chunk": 50,
        "thought": 8,
        "status": 6,
        "cite": 5,
        "tool": 5,
        "reset": 3,
        "complete": 6,
        "rate": 4,
        "select": 3,
    }
    match dice.choices(list(deeds), list(deeds.values()))[0]:
        case "chunk":
            room.chunk(answer, dice.choice(WORDS))
        case "thought":
            room.thought(answer, dice.choice(WORDS))
        case "status":
            room.status(answer, dice.choice(list(AnswerState)))
        case "cite":
            room.cite(answer, f"source {len(room.log)}")
        case "tool":
            more = {"arguments": {"at": 1}} if dice.random() < 0.5 else {"result": "noon"}
            room.tool(answer, f"k{dice.randint(1, 2)}", dice.choice(list(ToolState)), **more)
        case "reset":
            room.reset(answer)
        case "complete":
            room.complete(answer, dice.choice([Outcome.COMPLETE, Outcome.STOPPED]))
        case "rate":
            # A snapshot shows no feedback on an unfinished answer, so there is none here.
            ended = [name for name in room.now.rows if name not in room.now.running]
            room.rate(dice.choice(ended), dice.choice(["up", "down"]))
        case "select":
            room.select(dice.choice(list(room.now.rows)))
