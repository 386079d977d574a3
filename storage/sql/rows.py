"""How values become columns and columns become records."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Raw

from protocol.types import (
    AnswerState,
    ConversationStatus,
    Degradation,
    FinishReason,
    Outcome,
    Role,
    ToolState,
)
from storage.records import (
    Answer,
    Answered,
    Conversation,
    Ended,
    Failure,
    Feedback,
    Message,
    Origin,
    RunState,
    Timings,
    ToolCall,
)
from storage.sql.database import Connection, Database, Row, Value
from storage.values import Json, Spent

T = TypeVar("T")

# `said` is a message with its conversation's owner as `user_id`; the rest is found for it.
MESSAGE_COLUMNS = """
said.conversation, said.id, said.parent, said.role, said.content, said.metadata,
said.attachments, said.number, said.created_at, a.state, a.attempt, a.outcome,
a.finish_reason, a.model, a.provider, a.prompt_tokens, a.completion_tokens, a.cost_nano,
a.citations, a.sources, a.error,
f.rating, f.comment, f.updated_at AS rated_at
"""
MESSAGE_JOINS = """
LEFT JOIN answers a ON a.tenant = said.tenant AND a.id = said.id
LEFT JOIN feedback f ON f.tenant = said.tenant AND f.message = said.id AND f.owner = said.user_id
"""


async def now(c: Connection) -> int:
    """The database's time.

    Read once, at the beginning of a unit: waiting for a lock afterwards can only make a heartbeat
    look younger and a lease end sooner than they do, which is the safe side of both.
    """
    row = await c.one(f"SELECT {c.clock} AS now")
    assert row is not None
    moment: int = row["now"]
    return moment


def each(c: Connection | Database, bind: str) -> str:
    """A FROM item with a row for each object of a JSON list; fields by `item.value ->> 'name'`."""
    if c.dialect == "sqlite":
        return f"json_each(:{bind}) AS item"
    return f"jsonb_array_elements(CAST(:{bind} AS jsonb)) AS item(value)"


def among(c: Connection | Database, bind: str) -> str:
    """A list for `IN`, from the same bind.

    To join `each` instead may cost reading all of a tenant: without statistics SQLite takes the
    list for the longer of the two.
    """
    return f"(SELECT item.value ->> 'id' FROM {each(c, bind)})"


def text(value: object) -> str:
    """A value as JSON for a column."""
    return msgspec.json.encode(value).decode()


def optional_text(value: object | None) -> str | None:
    """The same, where there may be none."""
    return None if value is None else text(value)


def objects(rows: Iterable[Mapping[str, Value]]) -> str:
    """A bind for `each`."""
    return text(list(rows))


def ids(values: Iterable[str]) -> str:
    """A bind for `each` whose objects have an `id` alone."""
    return objects({"id": value} for value in values)


def raw(column: str) -> Json:
    """A JSON column, unread."""
    return Raw(column.encode())


def optional_raw(column: str | None) -> Json | None:
    """The same, where there may be none."""
    return None if column is None else raw(column)


def parsed(column: str | None, kind: type[T]) -> T | None:
    """A JSON column as what it was written from."""
    return None if column is None else msgspec.json.decode(column, type=kind)


def names(column: str) -> tuple[str, ...]:
    """A JSON list of strings."""
    return msgspec.json.decode(column, type=tuple[str, ...])


def spent(row: Row) -> Spent:
    """The three columns of every row that counts tokens and money."""
    return Spent(row["prompt_tokens"], row["completion_tokens"], row["cost_nano"])


def answer(row: Row) -> Answer:
    """From `answers.*` and its conversation's owner as `user_id`."""
    return Answer(
        tenant=row["tenant"],
        conversation=row["conversation"],
        id=row["id"],
        user=row["user_id"],
        parent=row["parent"],
        number=row["number"],
        state=RunState(row["state"]),
        phase=AnswerState(row["phase"]),
        stop=_reason(row["stop_reason"]),
        attempt=row["attempt"],
        incarnation=row["incarnation"],
        fence=row["fence"],
        request=raw(row["request"]),
        transcript=optional_raw(row["transcript"]),
        model=row["model"],
        epoch=row["epoch"],
        seq=row["seq"],
        length=row["length"],
        created_at=row["created_at"],
        started_at=row["started_at"],
    )


def ended(row: Row, *, fresh: bool = False, waiting: bool = False) -> Ended:
    """From `answers.*` of an answer that ended."""
    timings = parsed(row["timings"], Timings)
    assert timings is not None
    return Ended(
        tenant=row["tenant"],
        conversation=row["conversation"],
        answer=row["id"],
        number=row["terminal"],
        fence=row["fence"],
        attempt=row["attempt"],
        outcome=Outcome(row["outcome"]),
        finish_reason=FinishReason(row["finish_reason"]),
        length=row["length"],
        crc32=row["crc32"],
        spent=spent(row),
        model=row["model"],
        provider=row["provider"],
        citations=raw(row["citations"]),
        sources=raw(row["sources"]),
        degraded=msgspec.json.decode(row["degraded"], type=tuple[Degradation, ...]),
        timings=timings,
        error=parsed(row["error"], Failure),
        ended_at=row["ended_at"],
        fresh=fresh,
        waiting=waiting,
    )


def answered(row: Row) -> Answered | None:
    """From a message's row joined with `answers`; None if it is no answer."""
    if row["state"] is None:
        return None
    return Answered(
        state=RunState(row["state"]),
        attempt=row["attempt"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        finish_reason=_reason(row["finish_reason"]),
        model=row["model"],
        provider=row["provider"],
        spent=spent(row),
        citations=raw(row["citations"]),
        sources=raw(row["sources"]),
        error=parsed(row["error"], Failure),
    )


def message(row: Row, siblings: tuple[str, ...], tools: tuple[ToolCall, ...]) -> Message:
    """From `history.MESSAGE_COLUMNS` and what stands in other tables."""
    opinion = None
    if row["rating"] is not None:
        opinion = Feedback(
            message=row["id"],
            conversation=row["conversation"],
            rating=row["rating"],
            comment=row["comment"],
            updated_at=row["rated_at"],
        )
    return Message(
        conversation=row["conversation"],
        id=row["id"],
        parent=row["parent"],
        siblings=siblings,
        role=Role(row["role"]),
        content=row["content"],
        metadata=raw(row["metadata"]),
        attachments=names(row["attachments"]),
        number=row["number"],
        created_at=row["created_at"],
        answered=answered(row),
        tools=tools,
        feedback=opinion,
    )


def conversation(row: Row) -> Conversation:
    """From `conversations.*` with `last_message`."""
    return Conversation(
        tenant=row["tenant"],
        owner=row["owner"],
        id=row["id"],
        title=row["title"],
        status=ConversationStatus(row["status"]),
        model=row["model"],
        system_prompt=row["system_prompt"],
        collection=row["collection"],
        metadata=raw(row["metadata"]),
        leaf=row["leaf"],
        message_count=row["message_count"],
        last_message=row["last_message"],
        summary=row["summary"],
        spent=spent(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def tool_call(row: Row) -> ToolCall:
    """From `tool_calls.*`."""
    return ToolCall(
        id=row["id"],
        answer=row["answer"],
        attempt=row["attempt"],
        step=row["step"],
        origin=Origin(row["origin"]),
        name=row["name"],
        state=ToolState(row["state"]),
        arguments=raw(row["arguments"]),
        args_hash=row["args_hash"],
        result=row["result"],
        expires_at=row["expires_at"],
    )


def _reason(column: str | None) -> FinishReason | None:
    return None if column is None else FinishReason(column)
