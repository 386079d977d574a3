"""What of a conversation a model is shown: a budget, filled in a declared order.

First what is kept for the answer, then the tools on offer, the system prompt, the message that is
to be answered, and of the older ones as many as fit, the newest first. A message is shown whole or
not at all, and the oldest that is shown is never the model's own.

Nobody here knows a vendor's tokens. They are reckoned from bytes of UTF-8, three to a token: more
than there are for most texts, so that what fits here fits there.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from protocol.codes import ErrorCode
from protocol.types import Role
from server.generation.hidden import visible
from server.generation.request import Request
from server.providers.base import Model, ModelFailed, Turn
from storage.records import Thread

BYTES_PER_TOKEN = 3
TOKENS_PER_TURN = 4  # what a vendor adds to mark where one begins


class Context(Struct, frozen=True):
    """What is shown. `left_out` counts messages that had no room; `more`: perhaps others too."""

    turns: tuple[Turn, ...]
    system_prompt: str | None
    tokens: int
    left_out: int
    more: bool


def tokens(text: str | bytes) -> int:
    """About how many a model makes of it, rather too many than too few."""
    size = len(text.encode() if isinstance(text, str) else text)
    return -(-size // BYTES_PER_TOKEN)


def build(
    thread: Thread, request: Request, system_prompt: str | None, model: Model, *, reserve: int
) -> Context:
    """What this model is shown of the thread that ends in the message to be answered.

    Raises `ModelFailed` if not even that one fits.
    """
    prompt = visible(system_prompt) if system_prompt else None
    turns = _turns(thread)
    room = model.context_tokens - (request.max_tokens or reserve)
    if model.calls_tools:
        room -= tokens(msgspec.json.encode(request.tools))
    if prompt:
        room -= tokens(prompt)
    if not turns or _cost(turns[-1]) > room:
        words = "The message and its system prompt are longer than the model reads; shorten them."
        raise ModelFailed(ErrorCode.CONTEXT_TOO_LONG, words, retryable=False)
    shown, spent = _newest(turns, room)
    return Context(
        turns=tuple(shown),
        system_prompt=prompt,
        tokens=spent,
        left_out=len(turns) - len(shown),
        more=thread.more,
    )


def _turns(thread: Thread) -> list[Turn]:
    """What was said. An answer that came to nothing says nothing; one that broke off, its part."""
    return [
        Turn(role=message.role, content=visible(message.content))
        for message in thread.messages
        if message.content
    ]


def _newest(turns: Sequence[Turn], room: int) -> tuple[Sequence[Turn], int]:
    """As many as fit from the end, beginning with what a person said, and their tokens."""
    first, spent = len(turns), 0
    for turn in reversed(turns):
        if spent + _cost(turn) > room:
            break
        spent += _cost(turn)
        first -= 1
    while first < len(turns) - 1 and turns[first].role is Role.ASSISTANT:
        spent -= _cost(turns[first])
        first += 1
    return turns[first:], spent


def _cost(turn: Turn) -> int:
    return TOKENS_PER_TURN + tokens(turn.content)
