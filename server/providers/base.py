"""What a model is to the rest of the server: a request in, a stream of events out."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from protocol.codes import ErrorCode
from protocol.types import FinishReason, Guarded, Role
from storage.values import Json, Spent


class Turn(Guarded, frozen=True, kw_only=True):
    """A message of the context, oldest first in a request; the last one is to be answered."""

    role: Role
    content: str


class ToolOffer(Guarded, frozen=True, kw_only=True):
    """A tool that the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


class ToolOutcome(Guarded, frozen=True, kw_only=True):
    """What a call of an earlier step came to; `failed` covers denied, expired and unknown ones."""

    call: str
    name: str
    arguments: Json
    result: str
    failed: bool


class ModelRequest(Guarded, frozen=True, kw_only=True):
    """What a model is asked. `step` counts from 0 and rises when tools have been run.

    `outcomes` are those of the steps before. `said` is the text that earlier steps produced: the
    model goes on behind it.
    """

    model: str
    turns: tuple[Turn, ...]
    system_prompt: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[ToolOffer, ...] = ()
    step: int = 0
    outcomes: tuple[ToolOutcome, ...] = ()
    said: str = ""


class Thinking(Guarded, frozen=True):
    """A piece of the model's reasoning."""

    text: str


class Cites(Guarded, frozen=True, kw_only=True):
    """A span of this step's text (UTF-16 units from its start) and what it rests on.

    `sources` are encoded `protocol.frames.objects.Sources`.
    """

    start: int
    end: int
    sources: Json


class CallsTool(Guarded, frozen=True, kw_only=True):
    """The model wants a tool to run; the step ends, and the next one gets the outcome.

    `scripted_result` is the outcome of a tool that exists only in a script; `approval` asks for a
    person's consent to it.
    """

    name: str
    arguments: Json
    approval: bool = False
    scripted_result: str | None = None


class Finished(Guarded, frozen=True, kw_only=True):
    """The last event of every stream that did not fail; `reason` None: the step ends with tools.

    A stream that ends without it has failed.
    """

    reason: FinishReason | None
    spent: Spent


# A bare string is text of the answer, by far the commonest event: it costs no object of its own.
# It is well-formed, never empty, and cuts no code point.
ModelEvent: TypeAlias = str | Thinking | Cites | CallsTool | Finished


class ModelFailed(Exception):
    """The model's side failed. `retryable`: the same request, unchanged, may succeed later.

    `spent` is what was consumed all the same.
    """

    def __init__(
        self, code: ErrorCode, message: str, *, retryable: bool = True, spent: Spent | None = None
    ) -> None:
        super().__init__(code, message)
        self.code = code  # provider_busy, provider_error, provider_timeout, context_too_long, …
        self.message = message  # a person may read it
        self.retryable = retryable
        self.spent = spent or Spent()

    def __str__(self) -> str:
        return f"{self.code.value}: {self.message}"


class Provider(Protocol):
    """A vendor of models."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answers one step; raises `ModelFailed` and nothing else.

        Closing the generator ends the vendor's work at once. It neither retries nor keeps
        deadlines: whoever runs it does.
        """

    def spent(self, request: ModelRequest, text: str) -> Spent:
        """What a step has cost that was cut after this text, as well as it can be told."""


class Model(Struct, frozen=True):
    """A model that is offered here: `name` as clients write it, and who provides it."""

    name: str
    provider: Provider
    context_tokens: int = 128_000
    calls_tools: bool = False
