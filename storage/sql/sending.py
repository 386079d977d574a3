"""Sending, regenerating and editing: one transaction that dedupes, decides, stores and queues.

The id comes first, before any rule could refuse what it already did. Then the conversation's row is
locked, so that the decision about what is ahead and the numbers of what is stored are one.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import structs

from protocol.types import OnBusy, Role
from storage import failpoints
from storage.errors import Busy, NotEditable, NotFound
from storage.ids import Ids
from storage.records import (
    Ask,
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
    asked,
    conversations,
    ending,
    idempotency,
    jobs,
    locking,
    rows,
    tree,
)
from storage.sql.asked import Place, Question
from storage.sql.database import Connection, Database
from storage.values import Once, Owner

BUSY_REMEDY = "Wait for an answer to end, stop one, or send with on_busy=interrupt."


_FindPlace: TypeAlias = Callable[[Connection, int], Awaitable[Place]]
_Way: TypeAlias = tuple[int, tuple[Ended, ...], tuple[Stopping, ...]]


class SqlSending:
    """See `storage.store.Sending`."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self._db = db
        self._ids = ids

    async def send(self, owner: Owner, ask: Send) -> Sent:
        async def place(c: Connection, at: int) -> Place:
            question = Question(ask.content, ask.metadata, ask.attachments)
            if ask.conversation is None:
                if ask.parent is not None:  # a new conversation has no message yet
                    raise NotFound("message", ask.parent)
                made = await conversations.insert(c, owner, self._ids, ask.new, at=at)
                return Place(made, None, question, created=True)
            leaf = await locking.owned_conversation(c, owner, ask.conversation)
            if ask.parent is not None:
                await tree.message_of(c, owner, ask.conversation, ask.parent)
            return Place(ask.conversation, ask.parent or leaf, question)

        return await self._once(owner, ask, place)

    async def regenerate(self, owner: Owner, ask: Regenerate) -> Sent:
        async def place(c: Connection, _at: int) -> Place:
            row = await tree.owned_message(c, owner, ask.answer, "answer")
            if row["role"] != Role.ASSISTANT:
                raise NotFound("answer", ask.answer)
            await locking.owned_conversation(c, owner, row["conversation"])
            return Place(row["conversation"], row["parent"], None)

        return await self._once(owner, ask, place)

    async def edit(self, owner: Owner, ask: Edit) -> Sent:
        async def place(c: Connection, _at: int) -> Place:
            row = await tree.owned_message(c, owner, ask.message)
            if row["role"] != Role.USER:
                raise NotEditable(ask.message)
            await locking.owned_conversation(c, owner, row["conversation"])
            question = Question(ask.content, ask.metadata, ask.attachments)
            return Place(row["conversation"], row["parent"], question)

        return await self._once(owner, ask, place)

    async def recall(self, owner: Owner, once: Once) -> Sent | None:
        async def work(c: Connection) -> Sent | None:
            before = await idempotency.recall(c, owner, once, Sent)
            return None if before is None else structs.replace(before, duplicate=True)

        return await self._db.read(work)

    async def stop(self, owner: Owner, answer: str) -> Stopped:
        async def work(c: Connection) -> Stopped:
            at = await rows.now(c)
            row = await tree.owned_message(c, owner, answer, "answer")
            await locking.owned_conversation(c, owner, row["conversation"])
            found = await locking.answer(c, owner.tenant, answer)
            if found is None:
                raise NotFound("answer", answer)
            if found["state"] == RunState.ENDED:
                return Stopped(ended=rows.ended(found))
            if found["state"] != RunState.RUNNING:
                return Stopped(ended=await ending.finish(c, owner, found, ending.STOPPED, at=at))
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
            made, answer = await asked.store(c, self._ids, owner, ask, place, ahead=ahead, at=at)
            await jobs.enqueue(c, self._ids, ask.jobs, at=at)
            sent = Sent(
                conversation=place.conversation,
                created=place.created,
                message=answer.parent,
                answer=answer.id,
                queued=ahead,
                numbers=tuple(message.number for message in made),
                fence=answer.fence,
            )
            await idempotency.settle(c, owner, ask.once, sent)
            failpoints.reach("inserted")
            run = None if answer.incarnation is None else answer
            return structs.replace(sent, ended=ended, stopping=stopping, rows=made, run=run)

        sent = await self._db.write(work)
        failpoints.reach("committed")
        return sent


async def _make_way(c: Connection, owner: Owner, ask: Ask, place: Place, *, at: int) -> _Way:
    """How many answers are ahead, after what `on_busy` says was done to them."""
    if place.created:
        return 0, (), ()
    if ask.on_busy is OnBusy.INTERRUPT:
        ended, stopping = await ending.stop_all(
            c, owner, place.conversation, ending.SUPERSEDED, at=at
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
