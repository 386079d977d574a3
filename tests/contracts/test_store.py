"""What one person has is not there for anybody else, by any method there is.

The methods are taken from the interface itself, so one that is added without a case here fails.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias, get_type_hints

import pytest
from msgspec import Struct, structs

from protocol.types import Position, ToolState
from storage.errors import NotFound
from storage.ids import Kind
from storage.records import Change, Edit, NewConversation, NewToolCall, Regenerate
from storage.store import Internal, Store
from storage.values import Owner, Spent
from storage.work import Expense, SpentBy
from tests.support.rows import REQUEST, World


class Things(Struct, frozen=True):
    """One id of each kind, and a conversation of the asker's own."""

    conversation: str
    message: str
    answer: str
    call: str
    own: str


Case: TypeAlias = Callable[[World, Owner, Things], Awaitable[object]]


def sends(**fields: str) -> Case:
    """A message whose fields name the things."""

    def case(world: World, owner: Owner, things: Things) -> Awaitable[object]:
        named = {name: getattr(things, thing) for name, thing in fields.items()}
        return world.store.sending.send(owner, world.ask(**named))

    return case


CASES: dict[str, list[Case]] = {
    "sending.send": [
        sends(conversation="conversation"),
        sends(conversation="conversation", parent="message"),
        sends(conversation="own", parent="message"),
        sends(parent="message"),
    ],
    "sending.regenerate": [
        lambda w, o, t: w.store.sending.regenerate(
            o, Regenerate(once=w.once(), request=REQUEST, max_queued=3, answer=t.answer)
        )
    ],
    "sending.edit": [
        lambda w, o, t: w.store.sending.edit(
            o, Edit(once=w.once(), request=REQUEST, max_queued=3, message=t.message, content="x")
        )
    ],
    "sending.stop": [lambda w, o, t: w.store.sending.stop(o, t.answer)],
    "conversations.get": [lambda w, o, t: w.store.conversations.get(o, t.conversation)],
    "conversations.change": [
        lambda w, o, t: w.store.conversations.change(o, t.conversation, Change(title="x"))
    ],
    "conversations.select": [
        lambda w, o, t: w.store.conversations.select(o, w.once(), t.conversation, t.message),
        lambda w, o, t: w.store.conversations.select(o, w.once(), t.own, t.message),
    ],
    "conversations.delete": [lambda w, o, t: w.store.conversations.delete(o, t.conversation)],
    "history.branch": [
        lambda w, o, t: w.store.history.branch(o, t.conversation),
        lambda w, o, t: w.store.history.branch(o, t.conversation, leaf=t.message),
        lambda w, o, t: w.store.history.branch(o, t.conversation, before=t.answer),
        lambda w, o, t: w.store.history.branch(o, t.own, leaf=t.message),
        lambda w, o, t: w.store.history.branch(o, t.own, before=t.answer),
    ],
    "history.path": [
        lambda w, o, t: w.store.history.path(o, t.conversation),
        lambda w, o, t: w.store.history.path(o, t.own, leaf=t.message),
    ],
    "history.made": [lambda w, o, t: w.store.history.made(o, t.conversation)],
    "history.snapshot": [lambda w, o, t: w.store.history.snapshot(o, t.conversation)],
    "history.standing": [
        lambda w, o, t: w.store.history.standing(o, t.conversation, Position("e", 0))
    ],
    "history.message": [lambda w, o, t: w.store.history.message(o, t.message)],
    "history.answer": [lambda w, o, t: w.store.history.answer(o, t.answer)],
    "history.answer_to": [lambda w, o, t: w.store.history.answer_to(o, t.message)],
    "tools.decide": [
        lambda w, o, t: w.store.tools.decide(o, w.once(), t.call, args_hash="h", allow=True)
    ],
    "tools.tool_result": [
        lambda w, o, t: w.store.tools.tool_result(o, w.once(), t.call, failed=False, result="x")
    ],
    "feedback.save": [
        lambda w, o, t: w.store.feedback.save(o, w.once(), t.message, rating="up"),
        lambda w, o, t: w.store.feedback.save(o, w.once(), t.answer, rating="up"),
        lambda w, o, t: w.store.feedback.save(
            o, w.once(), t.message, rating="up", conversation=t.own
        ),
    ],
}
# These name nothing; what they show is tested below.
WITHOUT_IDS = {"conversations.create", "conversations.list", "sending.recall", "usage.spent"}


def methods(half: type) -> dict[str, inspect.Signature]:
    """Every method of every interface that this half of the store consists of."""
    return {
        f"{name}.{method}": inspect.signature(function)
        for name, interface in get_type_hints(half).items()
        if interface is not Internal
        for method, function in inspect.getmembers(interface, inspect.isfunction)
        if not method.startswith("_")
    }


async def victims(world: World) -> Things:
    """A person's conversation, with an answer parked for an approval."""
    sent, held = await world.running()
    call = NewToolCall(
        id=world.ids(Kind.TOOL_CALL),
        name="n",
        step=1,
        arguments=REQUEST,
        args_hash="h",
        state=ToolState.AWAITING_APPROVAL,
    )
    await world.store.internal.tools.create(held, call)
    await world.store.internal.answers.park(held, REQUEST)
    return Things(sent.conversation, sent.message, sent.answer, call.id, "")


async def refusal(case: Case, world: World, owner: Owner, things: Things) -> NotFound:
    new = await world.store.conversations.create(owner, world.once(), NewConversation())
    with pytest.raises(NotFound) as refused:
        await case(world, owner, structs.replace(things, own=new.conversation.id))
    return refused.value


def test_whatever_a_person_can_reach_begins_with_the_owner_and_has_a_case() -> None:
    """A method that is added without one fails here."""
    reachable = methods(Store)
    assert set(reachable) == set(CASES) | WITHOUT_IDS
    for name, signature in reachable.items():
        first = list(signature.parameters.values())[1]
        assert (first.name, first.annotation) == ("owner", Owner), name


@pytest.mark.parametrize("name", sorted(CASES))
async def test_a_strangers_thing_and_a_missing_one_are_the_same(world: World, name: str) -> None:
    """For another user and another tenant; a deleted thing is missing for its owner too."""
    things = await victims(world)
    missing = Things("c_missing", "m_missing", "m_missing_too", "t_missing", "")
    before = await world.numbers(things.conversation)
    for case in CASES[name]:
        for stranger in (world.neighbour, world.foreigner):
            strangers = await refusal(case, world, stranger, things)
            absent = await refusal(case, world, stranger, missing)
            owners = await refusal(case, world, world.owner, missing)
            assert strangers.key in structs.astuple(things)
            assert (absent.key, absent.what) == (owners.key, owners.what)
            assert strangers.what == absent.what
            assert str(strangers) == str(absent).replace(absent.key, strangers.key)
    assert await world.numbers(things.conversation) == before
    for case in CASES[name]:
        if name != "conversations.delete":
            await refusal_after_deletion(case, world, things)


async def refusal_after_deletion(case: Case, world: World, things: Things) -> None:
    """What its owner deleted is gone for the owner."""
    await world.run(
        "UPDATE conversations SET deleted_at = 1 WHERE tenant = :tenant AND id = :id",
        tenant=world.tenant,
        id=things.conversation,
    )
    assert (await refusal(case, world, world.owner, things)).key in structs.astuple(things)


async def test_lists_and_sums_show_a_person_nothing_of_others(world: World) -> None:
    """Neither items nor counts."""
    things = await victims(world)
    paid = Expense(key="k", feature="chat", model="m", provider="p", spent=Spent(1, 1, 1))
    await world.store.internal.usage.record(world.owner, [paid], conversation=things.conversation)
    for stranger in (world.neighbour, world.foreigner):
        page = await world.store.conversations.list(stranger)
        assert (page.items, page.total) == ((), 0)
        ask = world.ask()
        await world.store.sending.send(world.owner, ask)
        assert await world.store.sending.recall(stranger, ask.once) is None
        assert await world.store.usage.spent(stranger, since=0) == SpentBy(calls=0, spent=Spent())
