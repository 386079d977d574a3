"""A small world around a conversation log, for the model test: SQL, owners, devices, and a journal.

Each keeps to what `storage.log` asks of callers, in as few lines as that can be done, and asserts
the invariants of its own place as it goes. Nothing here knows how a log is made.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Literal

import msgspec
from msgspec import Struct

from protocol.types import Epoch, Id, Position
from server.streams.replay import Pass, Read, Replay, State, Step
from storage.log import (
    ROWS,
    Append,
    Appended,
    Checkpoint,
    Entry,
    EventLog,
    Following,
    Loss,
    Lost,
    Refusal,
    Refused,
    Registered,
    Slice,
)
from tests.contracts.event_log.harness import Mailbox

ALL = 10_000  # more entries than any run makes


class Frame(Struct, frozen=True):
    """What a body says. A `complete` names the whole text, and an epoch that was told all of it."""

    kind: Literal["message", "chunk", "reset", "complete"]
    answer: Id
    fence: int = 0
    attempt: int = 1
    offset: int = 0
    text: str = ""
    epoch: Epoch | None = None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Frame).decode


class Erased(Exception):
    """The conversation is gone, so there is nothing to open."""


class Behind(Exception):
    """What is shown cannot be grown to what SQL has; `recovered: false` is due."""


class Fate(Enum):
    """What becomes of a request."""

    ARRIVES = auto()
    REPLY_LOST = auto()
    DELAYED = auto()


class Answer:
    """An answer's row and its checkpoint."""

    def __init__(self, number: int) -> None:
        self.number = number  # of the commit that made it
        self.fence = 1
        self.attempt = 1
        self.text = ""
        self.at: Position | None = None
        self.ended = False


class Journal:
    """Every entry that was ever stored, and whether it might be."""

    def __init__(self) -> None:
        self.entries: dict[Epoch, list[Entry]] = {}
        self._lasts: dict[tuple[Epoch, Id], int] = {}
        self._fences: dict[tuple[Epoch, Id], int] = {}
        self._ended: set[tuple[Epoch, Id]] = set()

    def opened(self, epoch: Epoch, rows: int) -> None:
        assert epoch not in self.entries
        self.entries[epoch] = []
        self._lasts[epoch, ROWS] = rows

    def fenced(self, epoch: Epoch, source: Id, fence: int) -> None:
        assert fence >= self._fences.get((epoch, source), 0), "a fence only grows"
        self._fences[epoch, source] = fence

    def record(self, epoch: Epoch, entry: Entry) -> None:
        source, frame = (epoch, entry.source), decode(entry.body)
        assert entry.seq == len(self.entries[epoch]) + 1, "seq: no hole, none twice, none again"
        assert entry.ordinal == self._lasts.get(source, 0) + 1, "ordinals: no hole, none twice"
        assert source not in self._ended, "nothing follows the end"
        if entry.source != ROWS:
            assert frame.fence == self._fences[source], "a stale owner writes nothing"
        if frame.kind == "complete":
            assert (epoch, frame.answer) not in self._ended, "one end"
            self._ended.add((epoch, frame.answer))
        self._lasts[source] = entry.ordinal
        self.entries[epoch].append(entry)


class Talk:
    """One conversation as SQL has it, and the journal of its log."""

    def __init__(self, name: Id) -> None:
        self.name = name
        self.commits: list[Frame] = []
        self.answers: dict[Id, Answer] = {}
        self.erased = False
        self.journal = Journal()

    def reading(self) -> tuple[int, dict[Id, int]]:
        """What an opener needs of SQL: the last commit number, unfinished answers and fences."""
        unfinished = {name: each.fence for name, each in self.answers.items() if not each.ended}
        return len(self.commits), unfinished


class Text:
    """An answer's text as it is shown somewhere: grown by frames, never guessed."""

    def __init__(self, attempt: int = 1, text: str = "", *, ended: bool = False) -> None:
        self.attempt = attempt
        self.text = text
        self.ended = ended

    def apply(self, frame: Frame, epoch: Epoch) -> None:
        if frame.kind == "complete":
            if (self.attempt, self.text) != (frame.attempt, frame.text):
                # Only where the epoch began after the owner had said all, and it did not know.
                assert epoch != frame.epoch, "what was shown is the stored text"
                raise Behind
            self.ended = True
        elif self.ended or frame.attempt < self.attempt:
            return  # a straggler of what the snapshot shows as ended, or as begun anew
        elif frame.kind == "reset":
            if frame.attempt > self.attempt:
                self.attempt, self.text = frame.attempt, ""
        elif frame.kind == "chunk":
            # An owner repeats its text in a new epoch, so a chunk may overlap what is shown.
            assert frame.attempt == self.attempt, "attempt rises with reset alone"
            assert frame.offset <= len(self.text), "offsets without a hole"
            known = self.text[frame.offset :]
            assert known.startswith(frame.text) or frame.text.startswith(known), "shown is a prefix"
            self.text += frame.text[len(known) :]


class Instance:
    """A process: one client of the log, and the highest position it knows."""

    def __init__(self, log: EventLog, talk: Talk) -> None:
        self.log = log
        self.talk = talk
        self.known: Position | None = None

    def note(self, position: Position) -> None:
        """Positions of one epoch only rise; of another epoch the log has to tell."""
        if self.known and self.known.epoch == position.epoch:
            self.known = max(self.known, position)

    async def position(self) -> Position:
        """Where the log stands, opened anew if there is none or it was rolled back."""
        now = (await self.log.heads([self.talk.name]))[self.talk.name]
        if now is None:
            return await self.open(None, self.talk.reading())
        if self.known and self.known.epoch == now.epoch and self.known.seq > now.seq:
            return await self.open(now.epoch, self.talk.reading())
        self.known = now
        return now

    async def open(self, instead_of: Epoch | None, reading: tuple[int, dict[Id, int]]) -> Position:
        if self.talk.erased:
            raise Erased
        rows, fences = reading
        before = (await self.log.heads([self.talk.name]))[self.talk.name]
        position = await self.log.open(self.talk.name, instead_of, rows, fences)
        if position is None:
            return await self.open(None, self.talk.reading())
        if position.epoch not in self.talk.journal.entries:
            assert (before and before.epoch) == instead_of, "an epoch is not replaced unseen"
            self.talk.journal.opened(position.epoch, rows)
            for source, fence in fences.items():
                self.talk.journal.fenced(position.epoch, source, fence)
        self.known = position
        return position

    async def append(self, batch: Sequence[Append]) -> Sequence[Appended | Refused]:
        results = await self.log.append(batch)
        for asked, result in zip(batch, results, strict=True):
            if isinstance(result, Appended):
                self.note(Position(asked.seen.epoch, result.seq))
        return results

    async def log_rows(self, upto: int, lowest: int | None = None) -> None:
        """Appends row `upto`; the log says which lower ones are missing."""
        if not upto:
            return
        seen = self.known or await self.position()
        batch = [self._row(number, seen) for number in range(lowest or upto, upto + 1)]
        *_, result = await self.append(batch)
        if isinstance(result, Refused) and result.reason is Refusal.GAP:
            assert lowest is None, "what it asked for was there"
            await self.log_rows(upto, result.last + 1)
        elif isinstance(result, Refused) and result.reason is not Refusal.FORGOTTEN:
            assert result.reason in (Refusal.EPOCH, Refusal.ROLLED_BACK), result
            await self.position()
            await self.log_rows(upto)

    async def ready(self, number: int) -> Epoch:
        """The present epoch, when that row is logged."""
        await self.position()
        await self.log_rows(number)
        assert self.known is not None
        return self.known.epoch

    def _row(self, number: int, seen: Position) -> Append:
        frame = self.talk.commits[number - 1]
        ends = frame.answer if frame.kind == "complete" else None
        return Append(self.talk.name, ROWS, 0, number, encode(frame), seen, ends)

    async def texts(self) -> tuple[Position, dict[Id, Text]]:
        """What everybody may see now, from SQL and from what the log has beyond it."""
        position = await self.position()
        answers = self.talk.answers
        texts = {n: Text(a.attempt, a.text, ended=a.ended) for n, a in answers.items()}
        after = Position(
            position.epoch,
            min(
                (
                    a.at.seq if a.at and a.at.epoch == position.epoch else 0
                    for a in answers.values()
                    if not a.ended
                ),
                default=position.seq,
            ),
        )
        found = await self.log.read(self.talk.name, after, ALL)
        if isinstance(found, Lost):
            assert found.reason is Loss.TRIMMED, found
            found = await self.log.read(self.talk.name, Position(position.epoch, found.oldest), ALL)
        assert isinstance(found, Slice), found
        for entry in found.entries:
            frame = decode(entry.body)
            if not texts[frame.answer].ended:
                texts[frame.answer].apply(frame, position.epoch)
        return Position(position.epoch, found.head), texts


class Owner:
    """One incarnation's ownership of an answer, which may be over without its knowing."""

    def __init__(self, instance: Instance, answer: Id, text: Text | None = None) -> None:
        self.instance = instance
        self.answer = answer
        self.row = instance.talk.answers[answer]
        self.fence = self.row.fence
        self.stopped = False
        self.attempt = text.attempt if text else 1
        self.text = text.text if text else ""  # with what waits in `pending`
        self.settled = self.text  # known to be appended
        self.settled_at: Position | None = None
        self.epoch: Epoch | None = None
        self.pending: list[tuple[int, Frame]] = []
        self._last = 0

    @property
    def mine(self) -> bool:
        """Whether SQL would take a write of this owner."""
        talk = self.instance.talk
        return not talk.erased and self.row.fence == self.fence and not self.row.ended

    async def enter(self) -> None:
        """Makes the answer known to the present epoch; in a new one its text begins anew."""
        epoch = await self.instance.ready(self.row.number)
        if not self.mine:
            self.stopped = True
            return
        registered = await fence(self.instance, epoch, self.answer, self.fence)
        if isinstance(registered, Refused):
            # Opened or fenced meanwhile, by whoever reads SQL as well.
            return
        if self.epoch not in (None, epoch):
            self.repeat_all(registered.last)
        self.epoch = epoch

    def repeat_all(self, last: int) -> None:
        text, self.text, self.settled = self.text, "", ""
        self._last = last
        self.pending.clear()
        if self.attempt > 1:
            self._queue(Frame("reset", self.answer, self.fence, self.attempt))
        if text:
            self.speak(text)

    def speak(self, text: str) -> None:
        offset = len(self.text)
        self._queue(Frame("chunk", self.answer, self.fence, self.attempt, offset, text))
        self.text += text

    def begin_anew(self) -> None:
        """Another attempt: in SQL first, then told."""
        if self.mine:
            self.row.attempt = self.attempt = self.attempt + 1
            self.row.text = self.text = self.settled = ""
            self._queue(Frame("reset", self.answer, self.fence, self.attempt))

    def _queue(self, frame: Frame) -> None:
        self._last += 1
        self.pending.append((self._last, frame))

    @property
    def entered(self) -> bool:
        """Whether its ordinals are those of the epoch that its instance knows."""
        known = self.instance.known
        return known is not None and known.epoch == self.epoch

    def batch(self) -> list[Append]:
        """All that is not known to be appended; what is asked again is the same again."""
        seen = self.instance.known
        assert seen is not None
        return [
            Append(self.instance.talk.name, self.answer, self.fence, ordinal, encode(frame), seen)
            for ordinal, frame in self.pending
        ]

    async def settle(self) -> None:
        """Asks until everything is appended, or until this owner learns that it is none."""
        while not self.stopped and (self.pending or not self.entered):
            if not self.entered:
                await self.enter()
                continue
            for result in await self.instance.append(self.batch()):
                if isinstance(result, Refused):
                    await self._refused(result)
                    break
                self._settled(result)

    def _settled(self, result: Appended) -> None:
        _, frame = self.pending.pop(0)
        assert self.epoch is not None
        self.settled_at = Position(self.epoch, result.seq)
        if frame.kind == "chunk" and frame.attempt == self.attempt:
            self.settled = self.settled[: frame.offset] + frame.text

    async def _refused(self, refused: Refused) -> None:
        assert refused.reason not in (Refusal.GAP, Refusal.FORGOTTEN), refused
        assert refused.reason is not Refusal.ENDED or self.row.ended
        self.stopped = not self.mine
        if not self.stopped:
            await self.enter()

    def save(self) -> list[Checkpoint]:
        """The checkpoint in SQL; what it returns then lets the log trim."""
        self.stopped = not self.mine
        if self.stopped or self.settled_at is None or self.pending:
            return []
        self.row.text, self.row.at = self.settled, self.settled_at
        at = self.settled_at
        return [Checkpoint(self.instance.talk.name, at.epoch, self.answer, at.seq)]

    async def end(self) -> None:
        """Ends the answer in SQL with the text that is appended; the commit is logged later."""
        await self.settle()
        if self.mine:
            self.row.ended, self.row.text = True, self.settled
            frame = Frame("complete", self.answer, 0, self.attempt, 0, self.settled, self.epoch)
            self.instance.talk.commits.append(frame)
        self.stopped = True


async def fence(instance: Instance, epoch: Epoch, answer: Id, value: int) -> Registered | Refused:
    registered = await instance.log.fence(instance.talk.name, epoch, answer, value)
    if isinstance(registered, Registered):
        instance.talk.journal.fenced(epoch, answer, value)
    return registered


async def take_over(instance: Instance, answer: Id) -> Owner:
    """SQL's compare-and-set, the log's fence, and only then a look at what was shown."""
    row = instance.talk.answers[answer]
    row.fence += 1
    while True:
        epoch = await instance.ready(row.number)
        registered = await fence(instance, epoch, answer, row.fence)
        if isinstance(registered, Registered):
            break
    _, texts = await instance.texts()
    owner = Owner(instance, answer, texts[answer])
    owner.epoch = epoch
    # What SQL has may be from another epoch, so this one is told all of it.
    owner.repeat_all(registered.last)
    return owner


class Device:
    """A follower through an instance: what its person sees, and how it came there."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.mail = Mailbox()
        self.texts: dict[Id, Text] = {}
        self.look: tuple[Position, Position | None] | None = None
        self._following: Following | None = None
        self._answer: Slice | Lost | None = None
        self.replay = Replay(Position("none", 0), 0)

    async def attach(self, position: Position, hold_bytes: int) -> None:
        """Follows first, so that nothing falls between; the read comes when the test wants it."""
        self.close()
        self.mail, self.look, self._answer = Mailbox(), None, None
        self._following = await self.instance.log.follow(self.instance.talk.name, self.mail)
        self.replay = Replay(position, hold_bytes)
        self.begin = position
        self.passed: list[Entry] = []

    def close(self) -> None:
        if self._following:
            self._following.close()

    async def read(self) -> None:
        """One half of a read that is under way: the log answers, or the answer comes home."""
        if self.replay.state is not State.READING:
            return
        if self._answer is None:
            self._answer = await self.instance.log.read(
                self.instance.talk.name, self.replay.position, 2
            )
        else:
            answer, self._answer = self._answer, None
            await self.act(self.replay.stored(answer))

    async def check(self) -> None:
        """One half of a position check, likewise."""
        if self.look is None:
            name = self.instance.talk.name
            self.look = self.replay.position, (await self.instance.log.heads([name]))[name]
        else:
            look, self.look = self.look, None
            await self.act(self.replay.checked(*look))

    async def act(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Pass(entries):
                    self.passed += entries
                    self.instance.note(self.replay.position)
                    if not self._show(entries):
                        await self.start_over()
                        return
                case Read(after):
                    assert after == self.replay.position
                case Lost():
                    await self.start_over()

    async def start_over(self, hold_bytes: int = 10_000) -> None:
        """`recovered: false`: what was shown is replaced by what SQL and the log have now."""
        position, self.texts = await self.instance.texts()
        await self.attach(position, hold_bytes)

    def _show(self, entries: Sequence[Entry]) -> bool:
        for entry in entries:
            frame = decode(entry.body)
            if frame.kind == "message":
                self.texts.setdefault(frame.answer, Text())
                continue
            assert frame.answer in self.texts, "an answer's message precedes its frames"
            try:
                self.texts[frame.answer].apply(frame, self.replay.position.epoch)
            except Behind:
                return False
        return True
