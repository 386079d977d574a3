"""Bringing one follower level: first what is stored, then what is live, each entry once, in order.

Pure: it decides, and its caller reads the log and hands entries on. Only the log's answer to a read
counts as the truth; a delivery or a look at the head is a hint. An entry that is exactly the next
passes at once, and everything else (a hole, another epoch, a doubt, a head elsewhere) asks the log,
which gives what is missing or says that the position is lost. Nothing is ever guessed or skipped.

    following = await log.follow(conversation, lambda delivery: act(replay.live(delivery)))
    act(replay.stored(await log.read(conversation, replay.position, limit)))

`act` carries out the steps it is given: it hands the entries of a Pass on, gives `stored` the
answer to the read that a Read asks for, and at a Lost tells the follower `recovered: false` and
begins anew with another Replay.
"""

from collections.abc import Sequence
from enum import Enum, auto

from msgspec import Struct

from protocol.types import Position, Seq
from storage.log import Delivery, Entry, Live, Loss, Lost, Slice


class Pass(Struct, frozen=True):
    """Hand these on; they follow what was passed before without a hole."""

    entries: tuple[Entry, ...]


class Read(Struct, frozen=True):
    """Read the log after this position and give `stored` the answer; if it fails, read again."""

    after: Position


Step = Pass | Read | Lost


class State(Enum):
    """What a follower waits for."""

    READING = auto()  # the answer to a read; what is delivered meanwhile is held
    LEVEL = auto()  # the next delivery
    LOST = auto()  # nothing more: the position is no place in the log


class Replay:
    """A follower of one conversation, in one epoch of its log.

    It begins by reading: subscribe, then give `stored` the log's answer for `position`.
    `hold_bytes` bounds the bodies held while a read is under way; beyond it they are forgotten and
    read instead. 0 holds none.
    """

    def __init__(self, position: Position, hold_bytes: int) -> None:
        self.position = position  # the last entry passed
        self.state = State.READING
        self._hold_bytes = hold_bytes
        self._held: dict[Seq, Entry] = {}
        self._held_bytes = 0
        self._known: Seq = position.seq  # the highest seq this epoch is known to have reached
        self._known_at_read: Seq = position.seq
        self._doubted = False  # since the read under way was asked for

    def live(self, delivery: Delivery) -> Sequence[Step]:
        """What a delivery means for the follower."""
        if self.state is State.LOST:
            return ()
        if not isinstance(delivery, Live) or delivery.epoch != self.position.epoch:
            # Perhaps a new epoch, perhaps a straggler from one that is over: the log knows.
            return self._ask_the_log()
        for entry in delivery.entries:
            self._hold(entry)
        if self.state is State.LEVEL:
            return self._go_on([])
        self._forget_too_much()
        return ()

    def stored(self, answer: Slice | Lost) -> Sequence[Step]:
        """What the answer to the read under way means."""
        if self.state is not State.READING:
            return ()
        if isinstance(answer, Lost):
            return self._lose(answer)
        passed: list[Entry] = []
        for entry in answer.entries:
            if entry.seq == self.position.seq + 1 + len(passed):
                passed.append(entry)
        if answer.head < self._known_at_read or (answer.head > self.position.seq and not passed):
            # Below what it once reached, or nothing of what it says it has: it was rolled back, or
            # damaged alike, and asking again would go on for ever.
            return self._lose(Lost(Loss.AHEAD, Position(self.position.epoch, answer.head)))
        self._known = max(self._known, answer.head)
        return self._go_on(passed)

    def checked(self, asked: Position, head: Position | None) -> Sequence[Step]:
        """What a look at the head means; `asked` is `position` from when the look was asked for.

        A follower that has moved since is alive, and the look is too old to say more.
        """
        if self.state is not State.LEVEL or asked != self.position or head == asked:
            return ()
        return self._ask_the_log()

    def _hold(self, entry: Entry) -> None:
        if entry.seq > self.position.seq and entry.seq not in self._held:
            self._known = max(self._known, entry.seq)
            self._held[entry.seq] = entry
            self._held_bytes += len(entry.body)

    def _release(self, seq: Seq) -> Entry | None:
        entry = self._held.pop(seq, None)
        if entry is not None:
            self._held_bytes -= len(entry.body)
        return entry

    def _forget_too_much(self) -> None:
        if self._held_bytes > self._hold_bytes:
            self._held.clear()
            self._held_bytes = 0

    def _go_on(self, passed: list[Entry]) -> Sequence[Step]:
        """Passes what connects, from `passed` on; a hole behind it is read."""
        for entry in passed:
            self._release(entry.seq)
        seq = self.position.seq + len(passed)
        while (following := self._release(seq + 1)) is not None:
            passed.append(following)
            seq += 1
        self._forget_too_much()
        self.state = State.LEVEL
        steps: list[Step] = []
        if passed:
            self.position = Position(self.position.epoch, seq)
            steps.append(Pass(tuple(passed)))
        if self._doubted or seq < self._known:
            steps.extend(self._ask_the_log())
        return steps

    def _ask_the_log(self) -> Sequence[Step]:
        if self.state is State.READING:
            # The read under way may have been answered before whatever this is about.
            self._doubted = True
            return ()
        self.state = State.READING
        self._doubted = False
        self._known_at_read = self._known
        return (Read(self.position),)

    def _lose(self, lost: Lost) -> Sequence[Step]:
        self.state = State.LOST
        self._held.clear()
        return (lost,)
