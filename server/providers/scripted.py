"""The model that does what it is told, for load and fault tests by anyone.

The content of the message to be answered is its script, a JSON object:

    {"tokens": 200, "text": " token", "every_ms": 0, "first_ms": 0, "fail": null, "at": 0,
     "tool": {"name": "clock", "arguments": {}, "approval": false, "result": "noon"},
     "citations": [{"start": 0, "end": 6, "sources": [{"document": "d", "title": "D"}]}],
     "thought": "…"}

Every field may be left out; the first line shows the defaults, and the others default to nothing.

- `tokens` times `text` is the answer. `first_ms` pass before a step's first event, and token i
  is due i times `every_ms` after that. A reader who paused gets what is overdue at once. Each token
  comes in a turn of the event loop of its own, also when nothing is to be waited for.
- `fail` is how it fails before token `at`: `error` says so (and may be retried), `cut` ends without
  a last event, `stall` says nothing more. With `at` equal to `tokens` it fails after the last one.
- `tool` is called in step 0, before token `at` where the script does not fail, else before all
  text; step 1 gives the rest, however the call came out. With `result` the tool exists in the
  script alone; without it, it is whoever's who offers one of that name.
- `citations` are spans of the whole answer in UTF-16 units; each follows the token that completes
  its span. One that cuts a code point, or goes on across the tool's call, is refused.
- `thought` precedes all else, in step 0.
- `max_tokens` of the request bounds each step; a step that it ends has finish reason `length`.

Usage is exact. A completion token is one `text` and costs 10,000 nano-dollars; thoughts and calls
are free. A prompt token is one word (`counting.prompt_tokens`) and costs 1,000.

Any other content, plain text too, fails with `provider_error` and words that show an example.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from protocol.codes import ErrorCode
from protocol.frames.objects import Json, Name, Source
from protocol.limits import CONTENT_BYTES, MAX_TOKENS
from protocol.text import utf16_length, utf16_slice
from protocol.types import FinishReason, Guarded, Offset
from server.providers.base import (
    CallsTool,
    Cites,
    Finished,
    ModelEvent,
    ModelFailed,
    ModelRequest,
    Thinking,
)
from server.providers.counting import prompt_tokens
from server.providers.pacing import Pacing, turn
from storage.values import EMPTY_OBJECT, Spent

PROMPT_NANO = 1_000  # 1 USD per million
COMPLETION_NANO = 10_000  # 10 USD per million

EXAMPLE = '{"tokens": 200, "text": " token", "every_ms": 20}'
FAULT_CHARACTERS = 240  # of what is wrong with a script, which may quote it

# The only free JSON here: it could be all numbers of extreme size, 18 microseconds each.
ARGUMENTS_BYTES = 4096

Milliseconds = Annotated[float, Meta(ge=0, le=600_000)]


class CitedSource(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source as frames have it, without a word more."""


class Citation(Guarded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span of the whole answer and what it is to rest on."""

    start: Offset
    end: Offset
    sources: Annotated[list[CitedSource], Meta(max_length=64)]


class Tool(Guarded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The call that a script makes."""

    name: Name
    arguments: Raw = EMPTY_OBJECT
    approval: bool = False
    result: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no frame could carry."""
        self.call()

    def call(self) -> CallsTool:
        """The event."""
        if len(bytes(self.arguments)) > ARGUMENTS_BYTES:
            raise ValueError(f"`arguments` are longer than {ARGUMENTS_BYTES} bytes")
        arguments = _decode_arguments(self.arguments)
        return CallsTool(
            name=self.name,
            arguments=Raw(msgspec.json.encode(arguments)),
            approval=self.approval,
            scripted_result=self.result,
        )


class Script(Guarded, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer is to be like."""

    tokens: Annotated[int, Meta(ge=0, le=MAX_TOKENS)] = 200
    text: Annotated[str, Meta(min_length=1, max_length=4096)] = " token"
    every_ms: Milliseconds = 0
    first_ms: Milliseconds = 0
    fail: Literal["error", "cut", "stall"] | None = None
    at: Annotated[int, Meta(ge=0)] = 0
    tool: Tool | None = None
    citations: Annotated[tuple[Citation, ...], Meta(max_length=1000)] = ()
    thought: Annotated[str, Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be done."""
        if self.at > self.tokens:
            raise ValueError("`at` is beyond the last of the `tokens`")
        if self.citations and self.tool and self.fail is None:
            call = self.at * self.units
            if any(cited.start < call < cited.end for cited in self.citations):
                raise ValueError("A citation goes on across the tool's call")
        if not all(self._can_cite(cited) for cited in self.citations):
            raise ValueError("A citation is empty, cuts a character or ends beyond the text")

    def _can_cite(self, cited: Citation) -> bool:
        inside = 0 <= cited.start < cited.end <= self.tokens * self.units
        return inside and all(
            utf16_slice(self.text, 0, offset % self.units) is not None
            for offset in (cited.start, cited.end)
        )

    @property
    def units(self) -> int:
        """The length of one token in UTF-16 code units."""
        return utf16_length(self.text)


# Made once: to look up what a type asks for takes longer than to read by it.
_decode_arguments = msgspec.json.Decoder(dict[str, Json]).decode
_decode_script = msgspec.json.Decoder(Script).decode


def read_script(content: str) -> Script:
    """The script that a message is; raises `ModelFailed` for any other content."""
    # A bound on the work of parsing, too: whoever calls a provider need not have one.
    if len(content) > CONTENT_BYTES:
        raise _no_script(f"it is longer than {CONTENT_BYTES} characters")
    if r"\u0000" in content:
        raise _no_script("it holds U+0000")
    try:
        return _decode_script(content)
    except msgspec.ValidationError as error:
        raise _no_script(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise _no_script("it is not one JSON object") from None


def _read(request: ModelRequest) -> Script:
    return read_script(request.turns[-1].content if request.turns else "")


def _no_script(fault: str) -> ModelFailed:
    return ModelFailed(
        ErrorCode.PROVIDER_ERROR,
        f"The model `scripted` takes a script, such as {EXAMPLE}, and this is none: "
        f"{fault[:FAULT_CHARACTERS]}.",
        retryable=False,
    )


class Run(Struct, frozen=True):
    """Tokens that follow on each other, and the citation that follows on them."""

    tokens: int
    then: Cites | None = None


class Step(Struct, frozen=True, kw_only=True):
    """What a script comes to in one step: some of its tokens, and one of the ends."""

    runs: list[Run]
    spent: Spent
    thought: Thinking | None = None
    fail: str | None = None
    call: CallsTool | None = None
    reason: FinishReason | None = None


def plan(script: Script, request: ModelRequest) -> Step:
    """The step that is asked for."""
    opening = request.step == 0
    tool = script.tool if opening else None
    fail = None if tool else script.fail
    first, last = _part(script, opening=opening)
    most = last - first if request.max_tokens is None else request.max_tokens
    too_long = last - first > most
    last = min(last, first + most)
    step = Step(
        runs=_runs(script, first, last),
        spent=_price(request, last - first),
        thought=Thinking(script.thought) if script.thought and opening else None,
    )
    if too_long:
        return msgspec.structs.replace(step, reason=FinishReason.LENGTH)
    if tool:
        return msgspec.structs.replace(step, call=tool.call())
    return msgspec.structs.replace(step, fail=fail, reason=FinishReason.STOP)


def _part(script: Script, *, opening: bool) -> tuple[int, int]:
    """The tokens of a step, from the first to before the last."""
    last = script.tokens if script.fail is None else script.at
    if script.tool is None:
        return 0, last
    call = script.at if script.fail is None else 0
    return (0, call) if opening else (call, last)


def _runs(script: Script, first: int, last: int) -> list[Run]:
    runs, given, units = [], first, script.units
    for cited in sorted(script.citations, key=lambda cited: cited.end):
        complete = -(-cited.end // units)
        if first < complete <= last:
            span = Cites(
                start=cited.start - first * units,
                end=cited.end - first * units,
                sources=Raw(msgspec.json.encode(cited.sources)),
            )
            runs.append(Run(complete - given, span))
            given = complete
    return [*runs, Run(last - given)]


def _price(request: ModelRequest, completion: int) -> Spent:
    prompt = prompt_tokens(request)
    return Spent(prompt, completion, prompt * PROMPT_NANO + completion * COMPLETION_NANO)


class Scripted:
    """The provider of the model `scripted`."""

    name = "scripted"

    def __init__(self, pacing: Pacing | None = None) -> None:
        self._pacing = pacing or Pacing()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Do what the last turn's script says."""
        script = _read(request)
        step = plan(script, request)
        text, every_s = script.text, script.every_ms / 1000
        due = self._pacing.now() + script.first_ms / 1000
        if script.first_ms:
            await self._pacing.until(due)
        if step.thought:
            yield step.thought
        for run in step.runs:
            if every_s:
                for _ in range(run.tokens):
                    await self._pacing.until(due)
                    due += every_s  # by the schedule, not from now: it must not drift
                    yield text
            else:
                for _ in range(run.tokens):
                    await turn()
                    yield text
            if run.then:
                yield run.then
        if step.fail:
            await _fail(step)
            return
        if step.call:
            yield step.call
        yield Finished(reason=step.reason, spent=step.spent)

    def spent(self, request: ModelRequest, text: str) -> Spent:
        """What the text came to; nothing, where there was no script."""
        try:
            script = _read(request)
        except ModelFailed:
            return Spent()
        return _price(request, -(-len(text) // len(script.text)))


async def _fail(step: Step) -> None:
    match step.fail:
        case "error":
            words = "The model `scripted` failed, as its script wants it to."
            raise ModelFailed(ErrorCode.PROVIDER_ERROR, words, spent=step.spent)
        case "stall":
            await asyncio.Event().wait()
