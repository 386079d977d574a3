"""A client's copy of a conversation equals the server's, whatever happened on the way."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.codec import Unknown
from protocol.folding import fold
from protocol.frames import from_server as s
from protocol.frames.objects import Message
from protocol.replica import Effect, Replica
from protocol.text import utf16_length
from protocol.types import AnswerState, Position, ToolState
from tests.protocol.room import NOON, Room, State, live

Frame = s.Attached | s.Logged | Unknown


def plain(row: Message) -> Message:
    """A row without the difference between no list and an empty one."""
    lists = {name: getattr(row, name) or None for name in ("citations", "sources", "tools")}
    return replace(row, **lists)


def assert_equal(replica: Replica, room: Room) -> None:
    """The replica shows what the room is; `history` fills in what no snapshot had room for."""
    assert replica.level
    assert replica.position == Position(room.epoch, len(room.log))
    replica.merge(room.branch())
    assert replica.leaf == room.now.leaf
    assert [row.id for row in replica.branch()] == [row.id for row in room.branch()]
    for name, row in replica.messages.items():
        truth = room.now.rows[name]
        if not row.created_at:
            truth = replace(truth, created_at="", siblings=row.siblings)
        if name not in room.now.running:
            assert plain(row) == plain(truth)
    assert_running_equal(replica, room.now)
    assert set(replica.answers) == set(room.now.running)


def assert_running_equal(replica: Replica, state: State) -> None:
    """What it shows of unfinished answers is what they were at its position."""
    for name, answer in replica.answers.items():
        truth = state.running.get(name)
        if truth is not None:
            assert (answer.attempt, answer.state) == (truth.attempt, truth.state)
            assert answer.text.text == truth.text
            assert truth.thought.endswith(answer.thought.text)
            assert answer.tools == truth.tools
            assert answer.citations == truth.citations


class Device:
    """A socket that follows the room, and a link that loses, repeats, folds and breaks."""

    def __init__(self, room: Room, dice: random.Random, *, faults: bool = True) -> None:
        self.room = room
        self.replica = Replica(room.conversation)
        self._dice = dice
        self._faults = faults
        self._inbox: list[s.ServerFrame] = []
        self._seen: list[s.ServerFrame] = []
        self.attaches = 0
        self.attach()

    def happens(self, chance: float) -> bool:
        return self._faults and self._dice.random() < chance

    def attach(self) -> None:
        """The server's answer comes behind what is under way already."""
        self.attaches += 1
        resume = self.replica.resume
        if resume is None or resume.epoch != self.room.epoch:
            at = self._dice.randint(0, len(self.room.log)) if self._faults else len(self.room.log)
            self._inbox += self.room.snapshot(at, fits=self._dice.choice([1, 5, 10**9]))
        else:
            at = resume.seq
            self._inbox.append(self.room.recovered(at))
        self._inbox += self.room.since(at, folded=self.happens(0.5))

    def goes_on(self, frames: list[s.Logged]) -> None:
        self._inbox += list(fold(frames)) if self.happens(0.3) else frames

    def cut(self) -> None:
        self._inbox.clear()
        self.replica.lost()
        self.attach()

    def lose_log(self) -> None:
        self.room.forget_log()
        self._inbox += self.room.snapshot()

    def read(self, most: int) -> None:
        while self._inbox and most:
            frame = self._inbox.pop(0)
            most -= 1
            logged = isinstance(frame, s.Logged) and frame.seq
            if logged and self.happens(0.03):
                continue
            self._seen.append(frame)
            if isinstance(frame, s.Attached):
                self._seen.clear()  # what came before may be of another epoch, and no frame says so
            self.take(frame)
            if logged and self.happens(0.05) and self._seen:
                self.take(self._dice.choice(self._seen))

    def take(self, frame: s.ServerFrame) -> None:
        assert isinstance(frame, s.Attached | s.Logged)
        effect = self.replica.apply(frame)
        if effect in (Effect.HOLE, Effect.MISMATCH):
            self.attach()
        position = self.replica.position
        if effect is Effect.APPLIED and position and position.epoch == self.room.epoch:
            whole = not isinstance(frame, s.Attached) and bool(getattr(frame, "seq", 0))
            if whole:
                assert_running_equal(self.replica, self.room.states[position.seq])

    def read_all(self) -> None:
        self._faults = False
        while self._inbox:
            self.read(10**6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_whatever_the_link_does_the_device_ends_where_an_undisturbed_one_does(seed: int) -> None:
    """Invariants 5, 7, 9, 10 and 11: drops, repeats, folding, cuts, lost logs, old snapshots."""
    dice = random.Random(seed)
    room = Room()
    calm, rough = Device(room, dice, faults=False), Device(room, dice)
    for _ in range(dice.randint(1, 20)):
        before = len(room.log)
        live(room, dice, dice.randint(1, 8))
        calm.goes_on(room.log[before:])
        rough.goes_on(room.log[before:])
        rough.read(dice.randint(0, 12))
        if dice.random() < 0.2:
            rough.cut()
        if dice.random() < 0.05:
            calm.read_all()
            rough.lose_log()
            calm._inbox += room.snapshot()
    calm.read_all()
    rough.read_all()
    rough.cut()
    rough.read_all()
    assert_equal(calm.replica, room)
    assert_equal(rough.replica, room)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_cut_after_any_frame_changes_nothing(seed: int) -> None:
    """Invariant 11 at every place of one log, folded or not, with one attachment per cut."""
    dice = random.Random(seed)
    room = Room()
    live(room, dice, 25)
    for at in range(len(room.log) + 1):
        device = Device(Room(), dice, faults=False)
        device.read_all()
        device.room = room
        device.goes_on(room.log[:at])
        device.read_all()
        device.cut()
        device.read_all()
        assert device.attaches == 2
        assert_equal(device.replica, room)


def speaking() -> tuple[Room, str, Replica]:
    """A room whose answer has said two words, and a level replica of it."""
    room = Room()
    answer = room.say("Hello")
    room.status(answer, AnswerState.GENERATING)
    room.chunk(answer, "Hello, ")
    replica = level(room)
    assert replica.apply(room.chunk(answer, "\U0001f600")) is Effect.APPLIED
    return room, answer, replica


def level(room: Room, replica: Replica | None = None) -> Replica:
    """Bring a replica level with a snapshot."""
    replica = replica or Replica(room.conversation)
    for frame in room.snapshot():
        assert isinstance(frame, s.Attached | s.Logged)
        assert replica.apply(frame) is Effect.APPLIED
    return replica


def test_a_skipped_position_is_a_hole_and_is_asked_for_once() -> None:
    """After a hole nothing but `attached` is taken, so one fault costs one re-attachment."""
    room, answer, replica = speaking()
    held = replica.position
    room.chunk(answer, " lost")
    later = [room.chunk(answer, " after"), room.chunk(answer, " that")]
    assert [replica.apply(frame) for frame in later] == [Effect.HOLE, Effect.IGNORED]
    assert replica.resume == held
    assert held is not None
    assert replica.apply(room.recovered(held.seq)) is Effect.APPLIED
    for frame in room.since(held.seq, folded=True):
        assert isinstance(frame, s.Logged)
        assert replica.apply(frame) is Effect.APPLIED
    assert_equal(replica, room)


def test_a_chunk_that_begins_before_our_end_and_goes_beyond_it_is_a_hole() -> None:
    """What is held is sound, so it is kept, and the rest is asked for from here."""
    room, answer, replica = speaking()
    before = len(room.log)
    first = room.chunk(answer, "one ")
    replica.apply(first)
    room.chunk(answer, "two")
    (both,) = room.since(before, folded=True)
    assert isinstance(both, s.Chunk)
    assert both.since == before + 1
    assert replica.apply(both) is Effect.HOLE
    assert replica.resume == Position("e1", before + 1)


def test_a_second_hole_without_progress_gives_the_position_up() -> None:
    """A server that cannot go on from here is asked for a snapshot, not the same again."""
    room, answer, replica = speaking()
    held = len(room.log)
    room.chunk(answer, "lost")
    after = room.chunk(answer, "after")
    assert replica.apply(after) is Effect.HOLE
    replica.apply(room.recovered(held))
    assert replica.resume is not None
    assert replica.apply(after) is Effect.HOLE
    assert replica.resume is None


def test_progress_between_two_holes_keeps_the_position() -> None:
    """Two faults on a bad link are no reason to fetch everything again."""
    room, answer, replica = speaking()
    for _ in range(5):
        held = len(room.log)
        first = room.chunk(answer, "lost")
        assert replica.apply(room.chunk(answer, "after")) is Effect.HOLE
        assert replica.resume == Position("e1", held)
        replica.apply(room.recovered(held))
        assert replica.apply(first) is Effect.APPLIED
        assert replica.apply(room.log[-1]) is Effect.APPLIED


def test_repetitions_are_dropped() -> None:
    """Invariant 10: what was taken once is not taken again."""
    room, answer, replica = speaking()
    frame = room.chunk(answer, "once")
    assert replica.apply(frame) is Effect.APPLIED
    assert [replica.apply(frame) for frame in room.log] == [Effect.REPEATED] * len(room.log)
    assert_equal(replica, room)


@pytest.mark.parametrize("offset", [0, 8, 10])
def test_text_that_does_not_go_on_where_ours_ends_is_a_mismatch(offset: int) -> None:
    """Nine UTF-16 units are held (the smile takes two), so nothing but 9 fits."""
    room, answer, replica = speaking()
    frame = s.Chunk(seq=len(room.log) + 1, answer=answer, offset=offset, text="x")
    assert replica.apply(frame) is Effect.MISMATCH
    assert replica.resume is None
    assert replica.answers[answer].text.text == "Hello, \U0001f600"


@pytest.mark.parametrize("wrong", [{"length": 3}, {"crc32": 1}, {"attempt": 2}], ids=str)
def test_an_end_that_does_not_prove_our_text_asks_for_a_snapshot(wrong: dict[str, int]) -> None:
    """`length` and `crc32` are of the whole text; the snapshot then shows the answer as ended."""
    room, answer, replica = speaking()
    room.complete(answer)
    assert replica.apply(replace(room.log[-1], **wrong)) is Effect.MISMATCH
    assert replica.apply(room.log[-1]) is Effect.IGNORED
    assert_equal(level(room, replica), room)


def test_a_text_changed_on_the_way_is_found_at_the_end() -> None:
    """Offsets fit as long as lengths do; only the checksum tells."""
    room, answer, replica = speaking()
    chunk = room.chunk(answer, "good")
    room.complete(answer)
    assert replica.apply(replace(chunk, text="evil")) is Effect.APPLIED
    assert replica.apply(room.log[-1]) is Effect.MISMATCH


def test_nothing_follows_the_end_of_an_answer() -> None:
    """Invariant 7: a late frame counts in the log and changes nothing."""
    room, answer, replica = speaking()
    room.complete(answer)
    assert replica.apply(room.log[-1]) is Effect.APPLIED
    row = replica.messages[answer]
    late = s.Chunk(seq=len(room.log) + 1, answer=answer, offset=9, text="late")
    assert replica.apply(late) is Effect.IGNORED
    assert replica.position == Position("e1", len(room.log) + 1)
    assert replica.messages[answer] == row
    assert replica.answers == {}


def test_a_reset_empties_the_answer_but_keeps_the_tools_it_ran() -> None:
    """What was said is taken back; what was done cannot be."""
    room, answer, replica = speaking()
    room.thought(answer, "hm")
    room.cite(answer, "a")
    room.tool(answer, "k", ToolState.REQUESTED, arguments={"at": 1})
    room.tool(answer, "k", ToolState.DONE, result="noon")
    room.reset(answer)
    for frame in room.log[-5:]:
        replica.apply(frame)
    held = replica.answers[answer]
    assert (held.attempt, held.text.text, held.thought.text, held.citations) == (2, "", "", [])
    assert held.tools["k"].arguments == {"at": 1}
    assert held.tools["k"].result == "noon"


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_attempt_rises_by_reset_alone(attempt: int) -> None:
    """A reset to what is, and a status of an attempt that never began, are faults."""
    room, answer, replica = speaking()
    seq = len(room.log) + 1
    frame: s.Logged = s.Status(
        seq=seq, conversation="c", answer=answer, attempt=2, state=AnswerState.TOOL
    )
    if attempt == 1:
        room.reset(answer)
        frame = replace(room.log[-1], attempt=1)
    assert replica.apply(frame) is Effect.MISMATCH
    assert replica.answers[answer].state is AnswerState.GENERATING


def test_a_frame_of_a_newer_server_moves_the_position() -> None:
    """Old and new work side by side: what cannot be read still counts."""
    room, _answer, replica = speaking()
    unknown = Unknown("sparkle", "c", len(room.log) + 1)
    assert replica.apply(unknown) is Effect.APPLIED
    assert replica.position == Position("e1", len(room.log) + 1)


def test_a_snapshot_replaces_what_was_held_and_a_recovery_keeps_it() -> None:
    """Of two `attached` only the one that says `recovered: false` carries the conversation."""
    room, answer, replica = speaking()
    assert replica.apply(room.recovered(len(room.log))) is Effect.APPLIED
    assert replica.answers[answer].text.text == "Hello, \U0001f600"
    room.forget_log()
    room.chunk(answer, "!")
    assert_equal(level(room, replica), room)
    assert replica.answers[answer].text.text == "Hello, \U0001f600!"


def test_a_recovery_in_an_epoch_that_is_not_ours_is_a_mismatch() -> None:
    """A position means nothing in another life of the log."""
    room, _answer, replica = speaking()
    room.forget_log()
    assert replica.apply(room.recovered(0)) is Effect.MISMATCH
    assert replica.resume is None


def test_chunks_without_a_position_complete_a_snapshot_and_nothing_else() -> None:
    """They come before any other frame of the conversation, or they are a fault."""
    room, answer, _ = speaking()
    attached, *rest = room.snapshot(fits=3)
    replica = Replica("c")
    for frame in (attached, *rest):
        assert isinstance(frame, s.Attached | s.Logged)
        assert replica.apply(frame) is Effect.APPLIED
    assert replica.answers[answer].text.text == "Hello, \U0001f600"
    assert replica.apply(room.chunk(answer, "x")) is Effect.APPLIED
    late = s.Chunk(answer=answer, offset=10, text="y")
    assert replica.apply(late) is Effect.MISMATCH


def test_a_snapshot_cut_before_its_text_was_whole_is_asked_for_again() -> None:
    """Nothing marks the last of its chunks, so only a frame of the log shows that it is whole."""
    room, answer, _ = speaking()
    attached, *rest = room.snapshot(fits=3)
    replica = Replica("c")
    assert isinstance(attached, s.Attached)
    assert isinstance(rest[0], s.Logged)
    replica.apply(attached)
    replica.apply(rest[0])
    replica.lost()
    assert replica.resume is None
    replica = level(room, replica)
    replica.apply(room.chunk(answer, "x"))
    assert replica.resume == Position("e1", len(room.log))


def test_a_thought_whose_beginning_no_snapshot_tells_may_start_anywhere() -> None:
    """`Unfinished` has no reasoning; from its first piece on it must be contiguous."""
    room, answer, _ = speaking()
    room.thought(answer, "unseen ")
    replica = level(room)
    room.thought(answer, "seen ")
    assert replica.apply(room.log[-1]) is Effect.APPLIED
    gap = s.Thought(seq=len(room.log) + 1, conversation="c", answer=answer, offset=99, text="x")
    assert replica.apply(gap) is Effect.MISMATCH
    assert replica.answers[answer].thought.text == "seen "


def test_a_late_message_fills_in_what_a_snapshot_did_not_tell() -> None:
    """Rows merge by id: the answer of the snapshot gets its time and siblings, and stays."""
    room = Room()
    answer = room.say("Hello")
    room.chunk(answer, "Hi")
    replica = Replica("c")
    attached = room.snapshot(0)[0]
    assert isinstance(attached, s.Attached)
    replica.apply(attached)
    assert replica.messages[answer].created_at == ""
    for missed in room.log:
        assert replica.apply(missed) is Effect.APPLIED
    assert replica.messages[answer].created_at == NOON
    assert_equal(replica, room)


def test_siblings_are_the_same_on_every_row() -> None:
    """A new sibling is told in its own row only; an older list never shortens a newer one."""
    room = Room()
    room.say("Why?")
    question = room.now.rows["m2"].parent
    replica = level(room)
    for _ in range(2):
        room.row(room.now.rows["m2"].role, "", question)
        replica.apply(room.log[-1])
    assert {tuple(replica.messages[name].siblings) for name in ("m2", "m3", "m4")} == {
        ("m2", "m3", "m4")
    }
    replica.merge([room.states[2].rows["m2"]])
    assert replica.messages["m2"].siblings == ["m2", "m3", "m4"]


def test_a_ring_of_parents_does_not_hang_the_reader() -> None:
    """Whatever a broken server says, `branch` ends."""
    room, answer, replica = speaking()
    row = room.now.rows[answer]
    replica.merge([replace(row, id="a", parent="b"), replace(row, id="b", parent="a")])
    assert len(replica.branch("a")) <= len(replica.messages)


def test_ten_times_the_text_costs_about_ten_times_the_pieces_and_one_join() -> None:
    """Pieces are kept as they come, and joined when somebody reads."""
    replica = Replica("c", Position("e", 0))
    room = Room()
    room.say("Hello")
    for frame in room.log:
        replica.apply(frame)
    offset = 0
    for seq in range(3, 20_003):
        chunk = s.Chunk(seq=seq, answer="m2", offset=offset, text="tök ")
        assert replica.apply(chunk) is Effect.APPLIED
        offset += utf16_length(chunk.text)
    text = replica.answers["m2"].text
    assert len(text._pieces) == 20_000
    assert text.text == "tök " * 20_000
    assert len(text._pieces) == 1
    assert "tök" not in repr(replica)
