"""Tool calls of one answer: as rows, as frames, and what they come to.

A call is a row before anything else, and `requested` becomes `running` once: who finds it running
does not know what it has done and does not run it again. What a person or a client still has to do
is waited for by letting go of the answer, so the rows alone say where every call stands.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeAlias

import msgspec
from msgspec import Raw, structs

from protocol.frames.from_server import Tool
from protocol.frames.objects import Json as AnyJson
from protocol.text import mend
from protocol.types import Guarded, ToolState, rfc3339
from server.generation.means import Means
from server.generation.request import Request
from server.providers.base import CallsTool, ToolOutcome
from server.streams.writer import Writer
from storage.ids import Kind
from storage.records import Answer, NewToolCall, Origin, ToolCall
from storage.values import EMPTY_OBJECT, Json

ARGUMENTS_BYTES = 16 * 1024
RESULT_CHARACTERS = 32 * 1024

NOT_RUN = {
    ToolState.DENIED: "The person did not allow this call. It was not run.",
    ToolState.EXPIRED: "Nobody acted on this call in time. It was not run.",
    ToolState.UNKNOWN: "The tool was cut off. Whether the call took effect is not known.",
}
NO_SUCH_TOOL = "There is no tool of this name."
UNSPEAKABLE = "unnamed"  # stands for a name that no frame can carry
BAD_ARGUMENTS = "The arguments are not an object of at most 16 KiB, with 8 levels within it."
OTHER_ARGUMENTS = "The arguments are not those that were asked for."

Outcomes: TypeAlias = tuple[ToolOutcome, ...]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch
_ARGUMENTS: msgspec.json.Decoder[dict[str, AnyJson]] = msgspec.json.Decoder(dict[str, AnyJson])
_SORTED = msgspec.json.Encoder(order="sorted")


class Asked(Guarded, frozen=True, kw_only=True):
    """A call of the step under way, and in which state clients were told of it.

    `result` is what a tool comes to that exists only in a script.
    """

    id: str
    name: str
    told: ToolState | None = None
    result: str | None = None


def arguments_hash(arguments: Json) -> str:
    """What an approval is bound to: SHA-256, in hex, of the arguments as canonical JSON."""
    return sha256(arguments).hexdigest()


def canonical(arguments: Json) -> Json | None:
    """The arguments in the one spelling that is hashed; None if no tool is given such ones."""
    if len(arguments) > ARGUMENTS_BYTES:
        return None
    try:
        found = _ARGUMENTS.decode(arguments)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    spelt = _SORTED.encode(found)
    return None if b"\\u0000" in spelt else Raw(spelt)


class Tools:
    """What one answer's owner does about its calls."""

    def __init__(self, answer: Answer, request: Request, writer: Writer, means: Means) -> None:
        self._answer = answer
        self._clients = {tool.name for tool in request.tools}
        self._calls = means.store.internal.tools
        self._writer = writer
        self._ids = means.ids
        self._patience = means.patience
        self._options = means.options

    async def ask(self, step: int, wanted: Sequence[CallsTool]) -> tuple[Asked, ...]:
        """Store what the model wants; what cannot be run has failed at once."""
        asked = []
        for call in wanted:
            row = await self._store(step, call)
            self._tell(row, first=True)
            asked.append(
                Asked(id=row.id, name=call.name, told=row.state, result=call.scripted_result)
            )
        return tuple(asked)

    async def run(self, asked: Sequence[Asked]) -> tuple[tuple[Asked, ...], Outcomes | None]:
        """Run what may run and tell of what changed; what all came to, if none of them waits."""
        answer = self._answer
        found = await self._patience(lambda: self._calls.of_answer(answer.tenant, answer.id))
        rows = {row.id: row for row in found}
        for call in asked:
            rows[call.id] = await self._settle(call, rows[call.id])
        now = tuple(structs.replace(call, told=rows[call.id].state) for call in asked)
        if any(waits(rows[call.id]) for call in asked):
            return now, None
        return now, tuple(_outcome(call.name, rows[call.id]) for call in asked)

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    async def _store(self, step: int, call: CallsTool) -> ToolCall:
        arguments = canonical(call.arguments)
        problem = self._problem(call, arguments)
        new = self._new(step, call, arguments or EMPTY_OBJECT, refused=problem is not None)
        row = await self._patience(lambda: self._calls.create(self._answer.held, new))
        return row if problem is None else await self._advance(row, ToolState.FAILED, problem)

    def _problem(self, call: CallsTool, arguments: Json | None) -> str | None:
        if call.name not in self._clients and call.scripted_result is None:
            return NO_SUCH_TOOL
        return BAD_ARGUMENTS if arguments is None else None

    def _new(self, step: int, call: CallsTool, arguments: Json, *, refused: bool) -> NewToolCall:
        # What the client declared is its own, also where a script has a result for that name.
        origin = Origin.CLIENT if call.name in self._clients else Origin.SERVER
        state, expires_s = ToolState.REQUESTED, None
        if not refused and call.approval:
            state, expires_s = ToolState.AWAITING_APPROVAL, self._options.approval_s
        elif not refused and origin is Origin.CLIENT:
            expires_s = self._options.client_tool_s
        return NewToolCall(
            id=self._ids(Kind.TOOL_CALL),
            name=call.name if _NAME(call.name) else UNSPEAKABLE,
            step=step,
            arguments=arguments,
            args_hash=arguments_hash(arguments),
            state=state,
            origin=Origin.SERVER if refused else origin,
            expires_in_ms=None if expires_s is None else round(expires_s * 1000),
        )

    async def _settle(self, call: Asked, row: ToolCall) -> ToolCall:
        """Bring a call as far as it can be brought without a person or a client."""
        if row.state is ToolState.RUNNING:
            row = await self._advance(row, ToolState.UNKNOWN)
        elif row.state is ToolState.REQUESTED and row.origin is Origin.SERVER:
            return await self._run(call, row)
        if row.state is not call.told:
            self._tell(row)
        return row

    async def _run(self, call: Asked, row: ToolCall) -> ToolCall:
        if arguments_hash(row.arguments) != row.args_hash:
            row = await self._advance(row, ToolState.FAILED, OTHER_ARGUMENTS)
        else:
            row = await self._advance(row, ToolState.RUNNING)
            self._tell(row)
            row = await self._advance(row, ToolState.DONE, call.result)
        self._tell(row)
        return row

    async def _advance(
        self, row: ToolCall, state: ToolState, result: str | None = None
    ) -> ToolCall:
        cut = None if result is None else mend(result[:RESULT_CHARACTERS])
        return await self._patience(
            lambda: self._calls.advance(
                self._answer.held, row.id, seen=row.state, state=state, result=cut
            )
        )

    def _tell(self, row: ToolCall, *, first: bool = False) -> None:
        self._writer.frame(
            Tool(
                conversation=self._answer.conversation,
                answer=self._answer.id,
                call=row.id,
                name=row.name,
                state=row.state,
                arguments=_ARGUMENTS.decode(row.arguments) if first else None,
                args_hash=row.args_hash if first else None,
                result=row.result,
                expires_at=None if row.expires_at is None else rfc3339(row.expires_at),
            )
        )


def waits(row: ToolCall) -> bool:
    """Whether a person or a client still has to do something about it."""
    return row.state is ToolState.AWAITING_APPROVAL or (
        row.state is ToolState.REQUESTED and row.origin is Origin.CLIENT
    )


def _outcome(name: str, row: ToolCall) -> ToolOutcome:
    return ToolOutcome(
        call=row.id,
        name=name,
        arguments=row.arguments,
        result=row.result or NOT_RUN.get(row.state, ""),
        failed=row.state is not ToolState.DONE,
    )
