"""Sending, regenerating and editing: one transaction that dedupes, decides, stores and queues.

The id comes first, before any rule could refuse what it already did. Then the conversation's row is
locked, so that the decision about what is ahead and the numbers of what is stored are one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from msgspec import Struct, structs

from protocol.types import AnswerState, OnBusy, Role
from storage.errors import Busy, NotFound
from storage.ids import Ids, Kind
from storage.records import (
    Ask,
    CommitKind,
    Edit,
    Ended,
    Regenerate,
    RunState,
    Send,
    Sent,
    Stopped,
    Stopping,
)
from storage.sql import (
    commits,
    conversations,
    ending,
    history,
    idempotency,
    jobs,
    locking,
    rows,
)
from storage.sql.database import Connection, Database
from storage.values import EMPTY_OBJECT, Json, Once, Owner

BUSY_REMEDY = "Wait for an answer to end, stop one, or send with on_busy=interrupt."


class _Text(Struct, frozen=True):
    content: str = ""
    metadata: Json = EMPTY_OBJECT
    attachments: tuple[str, ...] = ()


class _Place(Struct, frozen=True):
    """Where the new rows go; the conversation is locked, or made just now."""

    conversation: str
    parent: str | None
    question: _Text | None
    created: bool = False


class _New(Struct, frozen=True):
    """A message to be stored."""

    id: str
    parent: str | None
    role: Role
    text: _Text


_FindPlace: TypeAlias = Callable[[Connection, int], Awaitable[_Place]]
_Way: TypeAlias = tuple[int, tuple[Ended, ...], tuple[Stopping, ...]]


class SqlSending:
    """See `storage.store.Sending`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    async def send(self, owner: Owner, ask: Send) -> Sent:
        async def place(c: Connection, at: int) -> _Place:
            question = _Text(ask.content, ask.metadata, ask.attachments)
            if ask.conversation is None:
                if ask.parent is not None:  # a new conversation has no message yet
                    raise NotFound("message", ask.parent)
                made = await conversations.insert(c, owner, self._ids, ask.new, at=at)
                return _Place(made, None, question, created=True)
            leaf = await locking.owned_conversation(c, owner, ask.conversation)
            if ask.parent is not None:
                await history.message_of(c, owner, ask.conversation, ask.parent)
            return _Place(ask.conversation, ask.parent or leaf, question)

        return await self._once(owner, ask, place)

    async def regenerate(self, owner: Owner, ask: Regenerate) -> Sent:
        async def place(c: Connection, _at: int) -> _Place:
            row = await history.owned_message(c, owner, ask.answer, "answer")
            if row["role"] != Role.ASSISTANT:
                raise NotFound("answer", ask.answer)
            await locking.owned_conversation(c, owner, row["conversation"])
            return _Place(row["conversation"], row["parent"], None)

        return await self._once(owner, ask, place)

    async def edit(self, owner: Owner, ask: Edit) -> Sent:
        async def place(c: Connection, _at: int) -> _Place:
            row = await history.owned_message(c, owner, ask.message)
            if row["role"] != Role.USER:
                raise NotFound("message", ask.message)
            await locking.owned_conversation(c, owner, row["conversation"])
            question = _Text(ask.content, ask.metadata, ask.attachments)
            return _Place(row["conversation"], row["parent"], question)

        return await self._once(owner, ask, place)

    async def recall(self, owner: Owner, once: Once) -> Sent | None:
        async def work(c: Connection) -> Sent | None:
            before = await idempotency.recall(c, owner, once, Sent)
            return None if before is None else structs.replace(before, duplicate=True)

        return await self._db.read(work)

    async def stop(self, owner: Owner, answer: str) -> Stopped:
        async def work(c: Connection) -> Stopped:
            at = await rows.now(c)
            row = await history.owned_message(c, owner, answer, "answer")
            await locking.owned_conversation(c, owner, row["conversation"])
            found = await locking.answer(c, owner.tenant, answer)
            if found is None:
                raise NotFound("answer", answer)
            if found["state"] == RunState.ENDED:
                return Stopped(ended=rows.ended(found))
            if found["state"] != RunState.RUNNING:
                return Stopped(ended=await ending.finish(c, found, ending.STOPPED, at=at))
            await ending.request_stop(c, found, ending.STOPPED.finish_reason)
            return Stopped(stopping=Stopping(answer=answer, incarnation=found["incarnation"]))

        return await self._db.write(work)

    async def _once(self, owner: Owner, ask: Ask, find_place: _FindPlace) -> Sent:
        async def work(c: Connection) -> Sent:
            at, before = await idempotency.claim(c, owner, ask.once, Sent)
            if before is not None:
                return structs.replace(before, duplicate=True)
            place = await find_place(c, at)
            ahead, ended, stopping = await _make_way(c, owner, ask, place, at=at)
            sent = await self._store(c, owner, ask, place, ahead, at=at)
            await jobs.enqueue(c, self._ids, ask.jobs, at=at)
            await idempotency.settle(c, owner, ask.once, sent)
            return structs.replace(sent, ended=ended, stopping=stopping)

        return await self._db.write(work)

    async def _store(
        self, c: Connection, owner: Owner, ask: Ask, place: _Place, ahead: int, *, at: int
    ) -> Sent:
        new = self._new(place)
        numbers = await _count(c, owner, place, new, at=at)
        await _insert_messages(c, owner, place, new, numbers, at=at)
        holder = ask.incarnation if ahead == 0 else None
        answer, number = new[-1], numbers[-1]
        assert answer.parent is not None, "an answer answers something"
        await _insert_answer(c, owner, ask, place, answer, number=number, holder=holder, at=at)
        subjects = [(CommitKind.MESSAGE, message.id) for message in new]
        await commits.insert(c, owner.tenant, place.conversation, subjects, numbers, at=at)
        return Sent(
            conversation=place.conversation,
            created=place.created,
            message=answer.parent,
            answer=answer.id,
            queued=ahead,
            numbers=numbers,
            fence=0 if holder is None else 1,
        )

    def _new(self, place: _Place) -> list[_New]:
        """The question, if one was asked, and below it an answer that is empty yet."""
        if place.question is None:
            return [_New(self._ids(Kind.MESSAGE), place.parent, Role.ASSISTANT, _Text())]
        asked = _New(self._ids(Kind.MESSAGE), place.parent, Role.USER, place.question)
        return [asked, _New(self._ids(Kind.MESSAGE), asked.id, Role.ASSISTANT, _Text())]


async def _make_way(c: Connection, owner: Owner, ask: Ask, place: _Place, *, at: int) -> _Way:
    """How many answers are ahead, after what `on_busy` says was done to them."""
    if place.created:
        return 0, (), ()
    if ask.on_busy is OnBusy.INTERRUPT:
        ended, stopping = await ending.stop_all(
            c, owner.tenant, place.conversation, ending.SUPERSEDED, at=at
        )
        return len(stopping), ended, stopping
    ahead = await c.all(
        """
        SELECT id FROM answers
        WHERE tenant = :tenant AND conversation = :conversation AND state <> 'ended'
        ORDER BY number
        """,
        tenant=owner.tenant,
        conversation=place.conversation,
    )
    if not ahead:
        return 0, (), ()
    # The first of them runs, or is about to; the others wait.
    if ask.on_busy is OnBusy.REJECT or len(ahead) > ask.max_queued:
        raise Busy(f"conversation {place.conversation!r}", ahead[0]["id"], BUSY_REMEDY)
    return len(ahead), (), ()


async def _count(
    c: Connection, owner: Owner, place: _Place, new: Sequence[_New], *, at: int
) -> tuple[int, ...]:
    """Take the numbers of the new messages, and make the answer the conversation's leaf."""
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
        count=len(new),
        leaf=new[-1].id,
        at=at,
    )
    assert counted is not None
    last: int = counted["commits"]
    return tuple(range(last - len(new) + 1, last + 1))


async def _insert_messages(
    c: Connection,
    owner: Owner,
    place: _Place,
    new: Sequence[_New],
    numbers: Sequence[int],
    *,
    at: int,
) -> None:
    await c.run(
        f"""
        INSERT INTO messages (tenant, id, conversation, parent, role, content, metadata,
            attachments, number, created_at)
        SELECT :tenant, item.value ->> 'id', :conversation, item.value ->> 'parent',
            item.value ->> 'role', item.value ->> 'content', item.value ->> 'metadata',
            item.value ->> 'attachments', CAST(item.value ->> 'number' AS BIGINT), :at
        FROM {rows.each(c, "messages")}
        """,
        tenant=owner.tenant,
        conversation=place.conversation,
        at=at,
        messages=rows.objects(
            {
                "id": message.id,
                "parent": message.parent,
                "role": message.role,
                "content": message.text.content,
                "metadata": rows.text(message.text.metadata),
                "attachments": rows.text(message.text.attachments),
                "number": number,
            }
            for message, number in zip(new, numbers, strict=True)
        ),
    )


async def _insert_answer(
    c: Connection,
    owner: Owner,
    ask: Ask,
    place: _Place,
    answer: _New,
    *,
    number: int,
    holder: str | None,
    at: int,
) -> None:
    await c.run(
        """
        INSERT INTO answers (tenant, id, conversation, parent, number, state, phase, attempt,
            incarnation, fence, request, seq, length, model, prompt_tokens, completion_tokens,
            cost_nano, citations, sources, degraded, created_at, started_at)
        VALUES (:tenant, :id, :conversation, :parent, :number, :state, :phase, 1, :incarnation,
            :fence, :request, 0, 0, :model, 0, 0, 0, '[]', '[]', '[]', :at, :started)
        """,
        tenant=owner.tenant,
        id=answer.id,
        conversation=place.conversation,
        parent=answer.parent,
        number=number,
        state=RunState.QUEUED if holder is None else RunState.RUNNING,
        phase=AnswerState.QUEUED,
        incarnation=holder,
        fence=0 if holder is None else 1,
        request=rows.text(ask.request),
        model=ask.model,
        at=at,
        started=None if holder is None else at,
    )
