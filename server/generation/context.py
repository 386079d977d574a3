"""What of a conversation a model is shown: a budget, filled in a declared order.

First what is kept for the answer, then the tools on offer, the system prompt, the message that is
to be answered, and of the older ones as many as fit, the newest first. A message is shown whole or
not at all, and the oldest that is shown is never the model's own.

Nobody here knows a vendor's tokens. They are reckoned from bytes of UTF-8, three to a token: more
than there are for most texts, so that what fits here fits there. Texts count as they were sent, for
only what is shown is worth the time that it takes to clean.
"""

import asyncio

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
# So many signs are cleaned before others have their turn; the worst of them take 20 ms.
SIGNS_AT_ONCE = 32 * 1024


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


class Turns:
    """What was said, each text cleaned once, however often and to how many models it is shown.

    An answer that came to nothing says nothing; one that broke off, its part.
    """

    def __init__(self, thread: Thread) -> None:
        self.more = thread.more
        self._said = [each for each in reversed(thread.messages) if each.content]
        self._costs = [TOKENS_PER_TURN + tokens(each.content) for each in self._said]
        self._clean: list[Turn] = []  # the newest first, as in the others

    def __len__(self) -> int:
        return len(self._said)

    def fitting(self, room: int) -> tuple[int, int]:
        """How many of the newest fit, beginning with what a person said, and their tokens."""
        count = spent = 0
        for cost in self._costs:
            if spent + cost > room:
                break
            spent += cost
            count += 1
        while count > 1 and self._said[count - 1].role is Role.ASSISTANT:
            count -= 1
            spent -= self._costs[count]
        return count, spent

    def newest(self, count: int) -> tuple[Turn, ...]:
        """So many as a model is shown them, oldest first."""
        while len(self._clean) < count:
            self._clean_next()
        return tuple(reversed(self._clean[:count]))

    async def prepare(self, room: int) -> None:
        """Clean what would fit, without keeping the loop for long."""
        count, _ = self.fitting(room)
        signs = 0
        while len(self._clean) < count:
            signs += self._clean_next()
            if signs > SIGNS_AT_ONCE:
                signs = 0
                await asyncio.sleep(0)

    def _clean_next(self) -> int:
        said = self._said[len(self._clean)]
        self._clean.append(Turn(role=said.role, content=visible(said.content)))
        return len(said.content)


def build(
    turns: Turns, request: Request, system_prompt: str | None, model: Model, *, reserve: int
) -> Context:
    """What this model is shown of the thread that ends in the message to be answered.

    Raises `ModelFailed` if not even that one fits.
    """
    prompt = visible(system_prompt) if system_prompt else None
    room = model.context_tokens - (request.max_tokens or reserve)
    if model.calls_tools:
        room -= tokens(msgspec.json.encode(request.tools))
    if prompt:
        room -= tokens(prompt)
    count, spent = turns.fitting(room)
    if not count:
        words = "The message and its system prompt are longer than the model reads; shorten them."
        raise ModelFailed(ErrorCode.CONTEXT_TOO_LONG, words, retryable=False)
    return Context(
        turns=turns.newest(count),
        system_prompt=prompt,
        tokens=spent,
        left_out=len(turns) - count,
        more=turns.more,
    )
