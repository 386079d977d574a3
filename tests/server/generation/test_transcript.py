"""What an answer goes on from, through its row."""

from msgspec import Raw

from protocol.frames.objects import Cited, Source
from protocol.types import Degradation, ToolState
from server.generation.tools import Asked
from server.generation.transcript import Transcript, decode, encode
from server.providers.base import ToolOutcome


def test_a_transcript_is_read_as_it_was_written() -> None:
    """Every field."""
    outcome = ToolOutcome(
        call="t", name="clock", arguments=Raw(b'{"a":1}'), result="noon", failed=False
    )
    left = Transcript(
        step=2,
        asked=(Asked(id="t2", name="mail", told=ToolState.AWAITING_APPROVAL, result="sent"),),
        outcomes=(outcome,),
        thought=4,
        cited=(Cited(start=0, end=2, sources=[Source(document="d", title="D")]),),
        model="m",
        degraded=(Degradation.FALLBACK_MODEL,),
        active_ms=5,
        first_token_ms=3,
    )
    assert decode(encode(left)) == left


def test_without_one_an_answer_is_at_its_beginning() -> None:
    """And so it is after one that says nothing."""
    assert decode(None) == decode(encode(Transcript())) == Transcript()
