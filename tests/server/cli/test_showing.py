"""An answer on the terminal gains what its text gained."""

import pytest
from msgspec.structs import replace

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.frames.objects import Failure
from protocol.replica import Replica
from protocol.types import FinishReason, Outcome, Position, ResetReason, Role
from server.cli.showing import RESETS, Showing, spent
from tests.server.cli.screens import Screens
from tests.support.peer import Log


class Watched:
    """A log, a replica and a terminal that follow each other."""

    def __init__(self) -> None:
        self.log, self.screens = Log(), Screens()
        self.replica = Replica("c-1", Position("e-1", 0))
        self.showing = Showing("m-2", self.screens.terminal)
        _, *frames = self.log.begin(c.Chat(id="a", content="hi"))
        self.tell(*frames)

    def tell(self, *frames: s.ServerFrame) -> None:
        """Frames as they come."""
        for frame in frames:
            assert isinstance(frame, s.Attached | s.Logged)
            self.replica.apply(frame)
            self.showing.take(frame, self.replica)


def test_chunks_are_written_one_after_the_other() -> None:
    """Nothing of another answer is."""
    me = Watched()
    me.tell(me.log.chunk("one "), me.log.chunk("two"), me.log.complete())
    assert me.screens.out == "one two\n"
    assert me.showing.over
    assert "one" not in repr(me.showing)


def test_a_snapshot_that_is_behind_is_waited_for() -> None:
    """The text that comes again is not written again."""
    me = Watched()
    me.tell(me.log.chunk("Hello"))
    me.log.text = "Hel"
    me.tell(me.log.snapshot(epoch="e-2"))
    me.tell(me.log.chunk("l"), me.log.chunk("o you"), me.log.complete())
    assert me.screens.out == "Hello you\n"
    assert me.screens.err.count("\n") == 1  # what it took


def test_a_snapshot_that_says_something_else_begins_anew() -> None:
    """The old text cannot be taken back."""
    me = Watched()
    me.tell(me.log.chunk("Hello"))
    me.log.text = "Help"
    me.tell(me.log.snapshot(epoch="e-2", ended=Outcome.COMPLETE))
    assert me.screens.out == "Hello\nHelp\n"
    assert "what was saved differs from what was shown" in me.screens.err


def test_an_answer_of_another_branch_is_gone() -> None:
    """It is over, without an outcome."""
    me = Watched()
    other = Log(answer="m-8")
    me.tell(other.snapshot(epoch="e-2", ended=Outcome.COMPLETE))
    assert (me.showing.over, me.showing.outcome) == (True, None)
    assert "went on without this answer" in me.screens.err


@pytest.mark.parametrize("reason", ResetReason)
def test_every_reset_has_its_words(reason: ResetReason) -> None:
    """Where nothing was written nothing is said."""
    me = Watched()
    me.tell(me.log.reset(reason))
    assert me.screens.err == ""
    me.tell(me.log.chunk("a"), me.log.reset(reason))
    assert RESETS[reason] in me.screens.err


def test_a_failure_says_what_failed_and_whether_to_ask_again() -> None:
    """Never the outcome alone."""
    me = Watched()
    failure = Failure(code=ErrorCode.PROVIDER_ERROR, message="It is down.", retryable=True)
    ended = me.log.complete(Outcome.FAILED)
    me.tell(replace(ended, error=failure))
    words = "The answer failed: It is down. (provider_error); asking again may help."
    assert words in me.screens.err


def test_what_an_answer_took_is_one_line() -> None:
    """Of what is known; an end that is no plain one is named."""
    row = Log().row("m-2", Role.ASSISTANT, "", None)
    assert spent(row, None) == ""
    ended = Watched()
    ended.tell(ended.log.complete(Outcome.STOPPED))
    line = "3 tokens (1 in, 2 out) · $0.5000 · scripted · 1.5 s · stopped\n"
    assert ended.screens.err == line
    assert FinishReason.STOPPED in line
