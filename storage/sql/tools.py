"""Tool calls, the decisions about them, and the results that clients send.

What happens to a call is a compare-and-set on its state, so it is approved once, run once, counted
once. An answer parked for several calls goes on when none of them waits any more.
"""

from protocol.types import ToolState
from storage.errors import ApprovalExpired, Conflict, DecidedOtherwise, NotFound
from storage.records import Decided, Held, NewToolCall, Origin, RunState, ToolCall
from storage.sql import history, idempotency, locking, rows
from storage.sql.database import Connection, Database, Row
from storage.values import Once, Owner


class SqlTools:
    """See `storage.store.Tools`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def decide(
        self, owner: Owner, once: Once, call: str, *, args_hash: str, allow: bool
    ) -> Decided:
        async def work(c: Connection) -> Decided:
            at, before = await idempotency.claim(c, owner, once, Decided)
            if before is not None:
                return before
            row = await _lock_owned(c, owner, call)
            if row["args_hash"] != args_hash:
                raise DecidedOtherwise(call)
            decision = await c.one(
                "SELECT allow FROM approvals WHERE tenant = :tenant AND call = :call",
                tenant=owner.tenant,
                call=call,
            )
            if decision is None:
                _still_open(row, ToolState.AWAITING_APPROVAL, at)
                await _approve(c, owner, row, allow=allow, at=at)
            elif bool(decision["allow"]) is not allow:
                raise DecidedOtherwise(call)
            decided = await _decided(c, owner.tenant, row)
            await idempotency.settle(c, owner, once, decided)
            return decided

        return await self._db.write(work)

    async def tool_result(
        self, owner: Owner, once: Once, call: str, *, failed: bool, result: str
    ) -> Decided:
        state = ToolState.FAILED if failed else ToolState.DONE

        async def work(c: Connection) -> Decided:
            at, before = await idempotency.claim(c, owner, once, Decided)
            if before is not None:
                return before
            row = await _lock_owned(c, owner, call)
            if row["origin"] != Origin.CLIENT:
                raise DecidedOtherwise(call)
            if (row["state"], row["result"]) != (state, result):
                _still_open(row, ToolState.REQUESTED, at)
                await _set(c, owner.tenant, call, state, result, at=at)
            decided = await _decided(c, owner.tenant, row)
            await idempotency.settle(c, owner, once, decided)
            return decided

        return await self._db.write(work)


class SqlToolCalls:
    """See `storage.store.InternalTools`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, held: Held, call: NewToolCall) -> ToolCall:
        async def work(c: Connection) -> ToolCall:
            at = await rows.now(c)
            answer = await locking.held_answer(c, held)
            expires_at = None if call.expires_in_ms is None else at + call.expires_in_ms
            await c.run(
                """
                INSERT INTO tool_calls (tenant, id, answer, attempt, step, origin, name, state,
                    arguments, args_hash, fence, expires_at, created_at, updated_at)
                VALUES (:tenant, :id, :answer, :attempt, :step, :origin, :name, :state,
                    :arguments, :args_hash, :fence, :expires_at, :at, :at)
                ON CONFLICT DO NOTHING
                """,
                tenant=held.tenant,
                id=call.id,
                answer=held.answer,
                attempt=answer["attempt"],
                step=call.step,
                origin=call.origin,
                name=call.name,
                state=call.state,
                arguments=rows.text(call.arguments),
                args_hash=call.args_hash,
                fence=held.fence,
                expires_at=expires_at,
                at=at,
            )
            return rows.tool_call(await _of_answer(c, held, call.id))

        return await self._db.write(work)

    async def advance(
        self,
        held: Held,
        call: str,
        *,
        seen: ToolState,
        state: ToolState,
        result: str | None = None,
    ) -> ToolCall:
        async def work(c: Connection) -> ToolCall:
            at = await rows.now(c)
            await locking.held_answer(c, held)
            row = await _of_answer(c, held, call)
            if (row["state"], row["result"], row["fence"]) == (state, result, held.fence):
                return rows.tool_call(row)
            if row["state"] != seen:
                raise Conflict("other", f"a tool call that is {row['state']}, not {seen}")
            await _set(c, held.tenant, call, state, result, at=at, fence=held.fence)
            return rows.tool_call(await _of_answer(c, held, call))

        return await self._db.write(work)

    async def of_answer(self, tenant: str, answer: str) -> tuple[ToolCall, ...]:
        async def work(c: Connection) -> tuple[ToolCall, ...]:
            return (await history.tool_calls(c, tenant, [answer]))[answer]

        return await self._db.read(work)

    async def expire(self, *, limit: int = 100) -> list[ToolCall]:
        async def work(c: Connection) -> list[ToolCall]:
            expired = await c.all(
                f"""
                UPDATE tool_calls SET state = 'expired', expires_at = NULL, updated_at = :at
                WHERE (tenant, id) IN (
                        SELECT t.tenant, t.id FROM tool_calls t
                        WHERE t.expires_at <= :at AND {history.WAITING}
                        ORDER BY t.expires_at LIMIT :limit)
                    AND expires_at <= :at
                RETURNING *
                """,
                at=await rows.now(c),
                limit=limit,
            )
            return [rows.tool_call(row) for row in expired]

        return await self._db.write(work)


async def _lock_owned(c: Connection, owner: Owner, call: str) -> Row:
    """The owner's call, with its conversation; its answer is locked, and with it the call."""
    found = await c.one(
        """
        SELECT t.answer, a.conversation FROM tool_calls t
        JOIN answers a ON a.tenant = t.tenant AND a.id = t.answer
        JOIN conversations c ON c.tenant = a.tenant AND c.id = a.conversation
        WHERE t.tenant = :tenant AND t.id = :id AND c.owner = :owner AND c.deleted_at IS NULL
        """,
        tenant=owner.tenant,
        owner=owner.user,
        id=call,
    )
    if found is None:
        raise NotFound("call", call)
    await locking.answer(c, owner.tenant, found["answer"])
    row = await locking.tool_call(c, owner.tenant, call)
    if row is None:
        raise NotFound("call", call)
    return row


def _still_open(row: Row, state: ToolState, at: int) -> None:
    late = row["expires_at"] is not None and row["expires_at"] <= at
    if row["state"] == ToolState.EXPIRED or (row["state"] == state and late):
        raise ApprovalExpired(row["id"])
    if row["state"] != state:
        raise DecidedOtherwise(row["id"])


async def _approve(c: Connection, owner: Owner, row: Row, *, allow: bool, at: int) -> None:
    await c.run(
        """
        INSERT INTO approvals (tenant, call, args_hash, allow, decided_by, decided_at)
        VALUES (:tenant, :call, :args_hash, :allow, :user, :at)
        """,
        tenant=owner.tenant,
        call=row["id"],
        args_hash=row["args_hash"],
        allow=int(allow),
        user=owner.user,
        at=at,
    )
    state = ToolState.REQUESTED if allow else ToolState.DENIED
    expires_at = None
    if allow and row["origin"] == Origin.CLIENT and row["expires_at"] is not None:
        # Now it waits for the client, who is given as long as the person was.
        expires_at = at + row["expires_at"] - row["created_at"]
    await _set(c, owner.tenant, row["id"], state, None, at=at, expires_at=expires_at)


async def _set(
    c: Connection,
    tenant: str,
    call: str,
    state: ToolState,
    result: str | None,
    *,
    at: int,
    expires_at: int | None = None,
    fence: int | None = None,
) -> None:
    await c.run(
        """
        UPDATE tool_calls SET state = :state, result = :result, expires_at = :expires_at,
            fence = COALESCE(:fence, fence), updated_at = :at
        WHERE tenant = :tenant AND id = :id
        """,
        tenant=tenant,
        id=call,
        state=state,
        result=result,
        expires_at=expires_at,
        fence=fence,
        at=at,
    )


async def _of_answer(c: Connection, held: Held, call: str) -> Row:
    row = await c.one(
        "SELECT * FROM tool_calls WHERE tenant = :tenant AND id = :id AND answer = :answer",
        tenant=held.tenant,
        id=call,
        answer=held.answer,
    )
    if row is None:
        raise NotFound("call", call)
    return row


async def _decided(c: Connection, tenant: str, row: Row) -> Decided:
    found = await c.one(
        f"""
        SELECT a.conversation, a.state AS of_answer, t.*, (
            SELECT COUNT(*) FROM tool_calls t
            WHERE t.tenant = a.tenant AND t.answer = a.id AND {history.WAITING}) AS waiting
        FROM answers a JOIN tool_calls t ON t.tenant = a.tenant AND t.answer = a.id
        WHERE t.tenant = :tenant AND t.id = :id
        """,
        tenant=tenant,
        id=row["id"],
    )
    assert found is not None
    return Decided(
        call=rows.tool_call(found),
        conversation=found["conversation"],
        resumable=found["of_answer"] == RunState.PARKED and found["waiting"] == 0,
    )
