"""What the scripted model gave, by the message that it answered: what has to be paid for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct, structs

from server.providers.base import Finished, ModelEvent, ModelFailed, ModelRequest
from server.providers.counting import prompt_tokens
from server.providers.scripted import COMPLETION_NANO, PROMPT_NANO, Scripted
from storage.values import Spent


class Stream(Struct):
    """One time that the model was asked; `spent` where it said so itself."""

    content: str
    prompt: int
    given: int = 0
    spent: Spent | None = None

    @property
    def costs(self) -> Spent:
        """What it came to: one that was broken off costs what it gave."""
        cost = self.prompt * PROMPT_NANO + self.given * COMPLETION_NANO
        return self.spent or Spent(self.prompt, self.given, cost)


class Tally:
    """Every stream of every life."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []

    def model(self) -> Scripted:
        """The scripted model, counted."""
        return _Counted(self)

    def begin(self, request: ModelRequest) -> Stream:
        """It is asked."""
        stream = Stream(request.turns[-1].content, prompt_tokens(request))
        self._streams.append(stream)
        return stream

    def of(self, content: str) -> Spent:
        """What answers to this message have cost."""
        total = Spent()
        for stream in self._streams:
            if stream.content == content:
                total = plus(total, stream.costs)
        return total


class _Counted(Scripted):
    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        # Not a generator itself: who asks and reads nothing has asked all the same.
        return self._read(super().stream(request), self._tally.begin(request))

    async def _read(
        self, events: AsyncGenerator[ModelEvent, None], stream: Stream
    ) -> AsyncGenerator[ModelEvent, None]:
        async with aclosing(events):
            try:
                async for event in events:
                    if isinstance(event, str):
                        stream.given += 1
                    elif isinstance(event, Finished):
                        stream.spent = event.spent
                    yield event
            except ModelFailed as failure:
                stream.spent = failure.spent
                raise


def plus(one: Spent, other: Spent) -> Spent:
    """The sum."""
    sums = (a + b for a, b in zip(structs.astuple(one), structs.astuple(other), strict=True))
    return Spent(*sums)
