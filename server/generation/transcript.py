"""What an answer has come to between two steps: with its row and its text, all it goes on from.

An answer is let go of only there: parked, because a call waits for a person or a client, or because
its process ends before anything came of the next step.
"""

import msgspec
from msgspec import Raw

from protocol.frames.objects import Cited
from protocol.types import Degradation, Guarded
from server.generation.tools import Asked
from server.providers.base import ToolOutcome
from storage.values import Json


class Transcript(Guarded, frozen=True, kw_only=True, omit_defaults=True):
    """`step` comes next, after the calls `asked` of the one before, some of which may wait.

    `outcomes` are those of the steps before that. `active_ms` leaves out the time spent parked.
    """

    step: int = 0
    asked: tuple[Asked, ...] = ()
    outcomes: tuple[ToolOutcome, ...] = ()
    thought: int = 0
    cited: tuple[Cited, ...] = ()
    model: str | None = None
    degraded: tuple[Degradation, ...] = ()
    active_ms: int = 0
    first_token_ms: int | None = None


_DECODER = msgspec.json.Decoder(Transcript)


def encode(transcript: Transcript) -> Json:
    """As the row keeps it."""
    return Raw(msgspec.json.encode(transcript))


def decode(stored: Json | None) -> Transcript:
    """As it was left; without one the answer is at its beginning."""
    return Transcript() if stored is None else _DECODER.decode(stored)
