"""What asking makes: a question and its answer-to-be, as rows and as the records of them."""

from collections.abc import Sequence

from msgspec import Struct

from protocol.types import AnswerState, Role
from storage.errors import TooMany
from storage.ids import Ids, Kind
from storage.records import Answer, Answered, Ask, CommitKind, Message, RunState
from storage.sql import commits, rows, tree
from storage.sql.database import Connection
from storage.values import EMPTY_LIST, EMPTY_OBJECT, Json, Owner, Spent

# Each message tells all its siblings, so their number bounds what a frame must hold.
SIBLINGS = 1000


class Question(Struct, frozen=True):
    """What a person wrote."""

    content: str
    metadata: Json = EMPTY_OBJECT
    attachments: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """Where the new rows go; the conversation is locked, or made just now."""

    conversation: str
    parent: str | None
    question: Question | None
    created: bool = False


async def store(
    c: Connection, ids: Ids, owner: Owner, ask: Ask, place: Place, *, ahead: int, at: int
) -> tuple[tuple[Message, ...], Answer]:
    """Store the question, if one was asked, and below it an answer that is empty yet."""
    question_id, answer_id = ids(Kind.MESSAGE), ids(Kind.MESSAGE)
    last = await _count(c, owner, place, leaf=answer_id, at=at)
    elder = await _children(c, owner, place)
    asked: tuple[Message, ...] = ()
    parent = place.parent
    if place.question is not None:
        asked = (_question(place, place.question, (*elder, question_id), number=last - 1, at=at),)
        parent, elder = question_id, ()
    assert parent is not None, "an answer answers something"
    answer = _answer(owner, ask, place, (answer_id, parent), ahead=ahead, number=last, at=at)
    messages = (*asked, _empty(answer, (*elder, answer_id)))
    await _insert_messages(c, owner, messages)
    await _insert_answer(c, answer)
    await commits.insert(
        c,
        owner.tenant,
        place.conversation,
        [(CommitKind.MESSAGE, message.id) for message in messages],
        [message.number for message in messages],
        at=at,
    )
    return messages, answer


async def _count(c: Connection, owner: Owner, place: Place, *, leaf: str, at: int) -> int:
    """Take the numbers of the new messages, and make the answer the leaf; the last number."""
    counted = await c.one(
        """
        UPDATE conversations SET commits = commits + :count, leaf = :leaf,
            message_count = message_count + :count, updated_at = :at
        WHERE tenant = :tenant AND id = :id AND owner = :owner
        RETURNING commits
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=place.conversation,
        count=1 if place.question is None else 2,
        leaf=leaf,
        at=at,
    )
    assert counted is not None
    last: int = counted["commits"]
    return last


async def _children(c: Connection, owner: Owner, place: Place) -> tuple[str, ...]:
    """What stands already where the first new message will."""
    if place.created:
        return ()
    found = await tree.siblings(c, owner.tenant, place.conversation, {place.parent})
    children = found.get(place.parent, ())
    if len(children) >= SIBLINGS:
        raise TooMany("children", place.parent or place.conversation, SIBLINGS)
    return children


def _question(
    place: Place, asked: Question, siblings: tuple[str, ...], *, number: int, at: int
) -> Message:
    return Message(
        conversation=place.conversation,
        id=siblings[-1],
        parent=place.parent,
        siblings=siblings,
        role=Role.USER,
        content=asked.content,
        metadata=asked.metadata,
        attachments=asked.attachments,
        number=number,
        created_at=at,
    )


def _answer(
    owner: Owner,
    ask: Ask,
    place: Place,
    family: tuple[str, str],
    *,
    ahead: int,
    number: int,
    at: int,
) -> Answer:
    """Its own at once, if somebody is there to run it and nothing is ahead."""
    id, parent = family
    holder = ask.incarnation if ahead == 0 else None
    return Answer(
        tenant=owner.tenant,
        conversation=place.conversation,
        id=id,
        user=owner.user,
        parent=parent,
        number=number,
        state=RunState.QUEUED if holder is None else RunState.RUNNING,
        phase=AnswerState.QUEUED,
        stop=None,
        attempt=1,
        incarnation=holder,
        fence=0 if holder is None else 1,
        request=ask.request,
        transcript=None,
        model=ask.model,
        epoch=None,
        seq=0,
        length=0,
        created_at=at,
        started_at=None if holder is None else at,
    )


def _empty(answer: Answer, siblings: tuple[str, ...]) -> Message:
    """The message that the answer will become."""
    answered = Answered(
        state=answer.state,
        attempt=answer.attempt,
        outcome=None,
        finish_reason=None,
        model=answer.model,
        provider=None,
        spent=Spent(),
        citations=EMPTY_LIST,
        sources=EMPTY_LIST,
        error=None,
    )
    return Message(
        conversation=answer.conversation,
        id=answer.id,
        parent=answer.parent,
        siblings=siblings,
        role=Role.ASSISTANT,
        content="",
        metadata=EMPTY_OBJECT,
        attachments=(),
        number=answer.number,
        created_at=answer.created_at,
        answered=answered,
    )


async def _insert_messages(c: Connection, owner: Owner, new: Sequence[Message]) -> None:
    await c.run(
        f"""
        INSERT INTO messages (tenant, id, conversation, parent, role, content, metadata,
            attachments, number, created_at)
        SELECT :tenant, item.value ->> 'id', item.value ->> 'conversation',
            item.value ->> 'parent', item.value ->> 'role', item.value ->> 'content',
            item.value ->> 'metadata', item.value ->> 'attachments',
            CAST(item.value ->> 'number' AS BIGINT), CAST(item.value ->> 'created_at' AS BIGINT)
        FROM {rows.each(c, "messages")}
        """,
        tenant=owner.tenant,
        messages=rows.objects(
            {
                "id": message.id,
                "conversation": message.conversation,
                "parent": message.parent,
                "role": message.role,
                "content": message.content,
                "metadata": rows.text(message.metadata),
                "attachments": rows.text(message.attachments),
                "number": message.number,
                "created_at": message.created_at,
            }
            for message in new
        ),
    )


async def _insert_answer(c: Connection, answer: Answer) -> None:
    await c.run(
        """
        INSERT INTO answers (tenant, id, conversation, parent, number, state, phase, attempt,
            incarnation, fence, request, seq, length, model, prompt_tokens, completion_tokens,
            cost_nano, citations, sources, degraded, created_at, started_at)
        VALUES (:tenant, :id, :conversation, :parent, :number, :state, :phase, 1, :incarnation,
            :fence, :request, 0, 0, :model, 0, 0, 0, '[]', '[]', '[]', :at, :started)
        """,
        tenant=answer.tenant,
        id=answer.id,
        conversation=answer.conversation,
        parent=answer.parent,
        number=answer.number,
        state=answer.state,
        phase=answer.phase,
        incarnation=answer.incarnation,
        fence=answer.fence,
        request=rows.text(answer.request),
        model=answer.model,
        at=answer.created_at,
        started=answer.started_at,
    )
