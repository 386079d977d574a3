"""Tool calls: approved once, run once, counted once, and never after their time."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw, structs

from protocol.types import ToolState
from storage.errors import ApprovalExpired, Conflict, DecidedOtherwise, Fenced, IdConflict
from storage.ids import Kind
from storage.records import Decided, Held, NewToolCall, Origin, Sent, ToolCall
from storage.values import Once
from tests.support.rows import DONE, REQUEST, World

MINUTES = 60_000
ROUNDS = 20


def new(world: World, **fields: Any) -> NewToolCall:
    """A call that awaits approval, unless told otherwise."""
    call = NewToolCall(
        id=world.ids(Kind.TOOL_CALL),
        name="send_mail",
        step=1,
        arguments=Raw(b'{"to":"bob"}'),
        args_hash="hash",
        state=ToolState.AWAITING_APPROVAL,
        expires_in_ms=10 * MINUTES,
    )
    return structs.replace(call, **fields)


async def waiting(world: World, **fields: Any) -> tuple[Sent, Held, ToolCall]:
    """An answer parked for a call."""
    sent, held = await world.running()
    call = await world.store.internal.tools.create(held, new(world, **fields))
    parked = await world.store.internal.answers.park(held, REQUEST)
    assert parked is not None
    return sent, parked.held, call


async def decide(world: World, call: str, *, allow: bool, once: Once | None = None) -> Decided:
    return await world.store.tools.decide(
        world.owner, once or world.once(), call, args_hash="hash", allow=allow
    )


async def resumable(world: World) -> list[str]:
    found = await world.store.internal.ownership.resumable(limit=1000)
    return [answer.id for answer in found if answer.tenant == world.tenant]


async def state(world: World, call: ToolCall) -> ToolState:
    (found,) = await world.store.internal.tools.of_answer(world.tenant, call.answer)
    return found.state


async def test_an_allowed_call_may_run_and_its_answer_go_on(world: World) -> None:
    """From any device, whoever parked it: the decision is a row."""
    sent, _, call = await waiting(world)
    assert await resumable(world) == []
    decided = await decide(world, call.id, allow=True)
    assert (decided.call.state, decided.resumable) == (ToolState.REQUESTED, True)
    assert decided.conversation == sent.conversation
    assert await resumable(world) == [sent.answer]


async def test_a_denied_call_never_runs(world: World) -> None:
    """Its answer goes on without it."""
    sent, _, call = await waiting(world)
    assert (await decide(world, call.id, allow=False)).call.state is ToolState.DENIED
    resumed = await world.store.internal.answers.resume(
        world.tenant, sent.answer, await world.incarnation()
    )
    assert resumed is not None
    with pytest.raises(Conflict):
        await world.store.internal.tools.advance(
            resumed.held, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING
        )


async def test_an_answer_goes_on_when_the_last_of_its_calls_is_decided(world: World) -> None:
    """Not when the first is."""
    _, held = await world.running()
    calls = [await world.store.internal.tools.create(held, new(world)) for _ in range(2)]
    await world.store.internal.answers.park(held, REQUEST)
    assert not (await decide(world, calls[0].id, allow=False)).resumable
    assert await resumable(world) == []
    assert (await decide(world, calls[1].id, allow=True)).resumable


async def test_a_decision_is_made_once(world: World) -> None:
    """The same again is the same; the contrary is refused, whatever its id."""
    _, _, call = await waiting(world)
    once = world.once()
    first = await decide(world, call.id, allow=True, once=once)
    assert await decide(world, call.id, allow=True, once=once) == first
    assert await decide(world, call.id, allow=True) == first
    with pytest.raises(DecidedOtherwise):
        await decide(world, call.id, allow=False)
    with pytest.raises(IdConflict):
        await decide(world, call.id, allow=False, once=Once(once.id, "other"))


async def test_racing_decisions_have_one_winner(world: World) -> None:
    """Two devices, two minds: one of them hears that it was decided otherwise."""
    for _ in range(10):
        _, _, call = await waiting(world)
        results = await asyncio.gather(
            *(decide(world, call.id, allow=allow) for allow in (True, False) * 5),
            return_exceptions=True,
        )
        decided = {result.call.state for result in results if isinstance(result, Decided)}
        refused = [result for result in results if isinstance(result, DecidedOtherwise)]
        assert (len(decided), len(refused)) == (1, 5)
        assert await state(world, call) in decided


async def test_an_approval_is_of_these_arguments_alone(world: World) -> None:
    """Another hash is refused, and decides nothing."""
    _, _, call = await waiting(world)
    with pytest.raises(DecidedOtherwise):
        await world.store.tools.decide(
            world.owner, world.once(), call.id, args_hash="other", allow=True
        )
    assert await state(world, call) is ToolState.AWAITING_APPROVAL


async def test_a_decision_can_come_too_late(world: World) -> None:
    """From the moment it expires, before and after somebody cleans up."""
    sent, _, call = await waiting(world)
    world.clock.advance(10 * MINUTES)
    with pytest.raises(ApprovalExpired, match="passed"):
        await decide(world, call.id, allow=True)
    expired = await world.store.internal.tools.expire(limit=1000)
    assert call.id in {one.id for one in expired}
    assert await state(world, call) is ToolState.EXPIRED
    with pytest.raises(ApprovalExpired):
        await decide(world, call.id, allow=True)
    assert await resumable(world) == [sent.answer]


async def test_what_was_decided_in_time_does_not_expire(world: World) -> None:
    """Its answer may be resumed an hour later."""
    _, _, call = await waiting(world)
    await decide(world, call.id, allow=True)
    world.clock.advance(60 * MINUTES)
    expired = await world.store.internal.tools.expire(limit=1000)
    assert call.id not in {one.id for one in expired}
    assert await state(world, call) is ToolState.REQUESTED


async def test_an_approved_call_runs_once(world: World) -> None:
    """The step from requested to running is won once; telling it twice is telling it once."""
    sent, _, call = await waiting(world)
    await decide(world, call.id, allow=True)
    resumed = await world.store.internal.answers.resume(
        world.tenant, sent.answer, await world.incarnation()
    )
    assert resumed is not None
    advance = world.store.internal.tools.advance
    await advance(resumed.held, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING)
    for _ in range(2):
        done = await advance(
            resumed.held, call.id, seen=ToolState.RUNNING, state=ToolState.DONE, result="sent"
        )
        assert (done.state, done.result) == (ToolState.DONE, "sent")
    with pytest.raises(Conflict):
        await advance(resumed.held, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING)


async def test_only_the_holder_of_an_answer_touches_its_calls(world: World) -> None:
    """Fenced like everything else."""
    _, held = await world.running()
    stale = structs.replace(held, fence=9)
    call = await world.store.internal.tools.create(held, new(world))
    with pytest.raises(Fenced):
        await world.store.internal.tools.create(stale, new(world))
    with pytest.raises(Fenced):
        await world.store.internal.tools.advance(
            stale, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING
        )


async def test_a_call_stored_twice_is_stored_once(world: World) -> None:
    """As it was the first time, whatever became of it since."""
    _, held = await world.running()
    asked = new(world)
    first = await world.store.internal.tools.create(held, asked)
    assert await world.store.internal.tools.create(held, asked) == first
    assert await world.store.internal.tools.of_answer(world.tenant, held.answer) == (first,)


async def test_a_clients_result_is_counted_once(world: World) -> None:
    """The same again is the same, another is refused; then the answer goes on."""
    sent, _, call = await waiting(world, origin=Origin.CLIENT, state=ToolState.REQUESTED)
    assert await resumable(world) == []

    async def result(text: str, once: Once | None = None) -> Decided:
        return await world.store.tools.tool_result(
            world.owner, once or world.once(), call.id, failed=False, result=text
        )

    once = world.once()
    first = await result("42", once)
    assert (first.call.state, first.call.result, first.resumable) == (ToolState.DONE, "42", True)
    assert await result("42", once) == first
    assert await result("42") == first
    with pytest.raises(DecidedOtherwise):
        await result("43")
    assert await resumable(world) == [sent.answer]


async def test_a_client_cannot_answer_for_the_servers_tools(world: World) -> None:
    """Nor approve by sending a result."""
    _, _, call = await waiting(world)
    with pytest.raises(DecidedOtherwise):
        await world.store.tools.tool_result(
            world.owner, world.once(), call.id, failed=True, result="no"
        )


async def test_a_client_that_fails_or_never_answers_lets_the_answer_go_on(world: World) -> None:
    """With an error, or after its time."""
    _, _, failing = await waiting(world, origin=Origin.CLIENT, state=ToolState.REQUESTED)
    failed = await world.store.tools.tool_result(
        world.owner, world.once(), failing.id, failed=True, result="no camera"
    )
    assert failed.call.state is ToolState.FAILED
    silent, _, call = await waiting(world, origin=Origin.CLIENT, state=ToolState.REQUESTED)
    world.clock.advance(10 * MINUTES)
    with pytest.raises(ApprovalExpired):
        await world.store.tools.tool_result(
            world.owner, world.once(), call.id, failed=False, result="late"
        )
    await world.store.internal.tools.expire(limit=1000)
    assert silent.answer in await resumable(world)


async def test_calls_of_an_answer_that_ended_are_closed(world: World) -> None:
    """What had not run never will; of what was running nobody knows."""
    sent, held = await world.running()
    tools = world.store.internal.tools
    open_call = await tools.create(held, new(world))
    started = await tools.create(held, new(world, state=ToolState.REQUESTED))
    await tools.advance(held, started.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING)
    await world.store.internal.answers.end(held, DONE)
    states = {call.id: call.state for call in await tools.of_answer(world.tenant, sent.answer)}
    assert states == {open_call.id: ToolState.EXPIRED, started.id: ToolState.UNKNOWN}
    with pytest.raises(ApprovalExpired):
        await decide(world, open_call.id, allow=True)


async def test_calls_of_an_attempt_that_was_given_up_are_closed(world: World) -> None:
    """Else the answer would stay parked for an approval that nobody needs any more."""
    sent, held = await world.running()
    tools = world.store.internal.tools
    forgotten = await tools.create(held, new(world))
    await world.store.internal.answers.reset(held, attempt=1)
    wanted = await tools.create(held, new(world))
    await world.store.internal.answers.park(held, REQUEST)
    with pytest.raises(ApprovalExpired):
        await decide(world, forgotten.id, allow=True)
    assert (await decide(world, wanted.id, allow=True)).resumable
    assert await resumable(world) == [sent.answer]


async def test_a_clients_tool_that_was_approved_still_has_its_time(world: World) -> None:
    """From the approval on: a client that never answers must not keep the answer parked."""
    sent, _, call = await waiting(world, origin=Origin.CLIENT)
    world.clock.advance(9 * MINUTES)
    decided = await decide(world, call.id, allow=True)
    assert (decided.call.expires_at, decided.resumable) == (world.clock.now + 10 * MINUTES, False)
    world.clock.advance(10 * MINUTES - 1)
    assert call.id not in {one.id for one in await world.store.internal.tools.expire(limit=1000)}
    world.clock.advance(1)
    await world.store.internal.tools.expire(limit=1000)
    assert await resumable(world) == [sent.answer]


async def test_who_takes_an_answer_over_cannot_run_a_call_again(world: World) -> None:
    """It finds the call running, and cannot tell how far it came."""
    _, held = await world.running()
    tools = world.store.internal.tools
    call = await tools.create(held, new(world, state=ToolState.REQUESTED))
    await tools.advance(held, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING)
    taken = await world.store.internal.ownership.take_over(
        await world.answer(held.answer), await world.incarnation(), proof_of_death=True
    )
    assert taken is not None
    with pytest.raises(Conflict):
        await tools.advance(taken.held, call.id, seen=ToolState.REQUESTED, state=ToolState.RUNNING)
    for _ in range(2):
        await tools.advance(taken.held, call.id, seen=ToolState.RUNNING, state=ToolState.UNKNOWN)


async def test_of_the_last_two_decisions_one_lets_the_answer_go_on(world: World) -> None:
    """Made at the same time, they must not each see the other's call waiting."""
    for _ in range(ROUNDS):
        _, held = await world.running()
        calls = [await world.store.internal.tools.create(held, new(world)) for _ in range(2)]
        await world.store.internal.answers.park(held, REQUEST)
        decided = await asyncio.gather(*(decide(world, call.id, allow=True) for call in calls))
        assert sorted(one.resumable for one in decided) == [False, True]


async def test_a_decision_at_the_last_moment_counts_or_came_too_late(world: World) -> None:
    """It expires while it is decided: one of both happened, and everybody is told which."""

    async def expire() -> set[str]:
        await world.db.began.wait()  # until the decision has looked at the clock
        world.clock.advance(1)
        return {one.id for one in await world.store.internal.tools.expire(limit=1000)}

    for _ in range(ROUNDS):
        _, _, call = await waiting(world)
        world.clock.advance(10 * MINUTES - 1)
        world.db.began.clear()
        decided, expired = await asyncio.gather(
            decide(world, call.id, allow=True), expire(), return_exceptions=True
        )
        assert not isinstance(expired, BaseException)
        assert isinstance(decided, Decided) is (call.id not in expired)
