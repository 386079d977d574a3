"""What each frame comes to: one answer, in an order that a client can rely on."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from protocol.frames.from_server import Ack
from protocol.types import ToolState
from server.limits.options import Options as Limits
from storage.records import Send, Sent
from storage.values import Owner
from tests.support.lobby import TENANT, Caller, Lobby
from tests.support.waiting import until


async def asked(caller: Caller, id: str = "m-1", **fields: Any) -> Ack:
    """A message that was answered to its end."""
    caller.chat(id, **fields)
    ack = await caller.answer_to(id)
    assert isinstance(ack, Ack), ack
    await caller.complete(ack.answer)
    return ack


def bounded(caller: Caller, attached: int) -> Caller:
    """The socket may follow no more than so many conversations."""
    requests = caller.connection._requests
    assert requests is not None
    requests._limits = structs.replace(requests._limits, attached_conversations=attached)
    return caller


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


async def test_the_ack_comes_before_every_frame_of_its_answer(lobby: Lobby) -> None:
    """Then the rows, what it does, what it says, and its end."""
    caller = await lobby.greeted()
    ack = await asked(caller)
    assert (ack.duplicate, ack.queued, ack.seq) == (False, 0, 0)
    kinds = [kind for kind in caller.types[1:] if kind not in ("conversations", "status")]
    assert kinds[:3] == ["ack", "message", "message"]
    assert kinds[-1] == "complete"
    assert caller.text(ack.answer) == "aaa"
    made = await caller.one("conversations")
    assert (made.conversation.id, made.change) == (ack.conversation, "created")


async def test_the_ack_comes_first_whoever_tells_the_rows(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be seen from the commit on, and another may tell them before it is heard of here."""
    caller = await lobby.greeted()
    first = await asked(caller)
    send = lobby.store.sending.send

    async def told_by_another(owner: Owner, ask: Send) -> Sent:
        sent = await send(owner, ask)
        await lobby.hub.tell(owner.tenant, sent.conversation)
        return sent

    monkeypatch.setattr(lobby.store.sending, "send", told_by_another)
    second = await asked(caller, "m-2", conversation=first.conversation)
    behind = caller.types[caller.frames.index(await caller.one("complete")) + 1 :]
    behind = [kind for kind in behind if kind != "conversations"]  # a list's news waits for nobody
    assert behind[:3] == ["ack", "message", "message"]
    assert [frame.seq for frame in caller.of("message")][-2:] == [second.seq + 1, second.seq + 2]


async def test_messages_of_one_conversation_are_stored_as_they_were_sent(lobby: Lobby) -> None:
    """Though each is a task of its own."""
    caller = await lobby.greeted()
    first = await asked(caller)
    for number in range(2, 5):
        caller.chat(f"m-{number}", conversation=first.conversation)
    acks = [await caller.answer_to(f"m-{number}") for number in range(2, 5)]
    await caller.complete(acks[-1].answer)
    ids = [frame.message.id for frame in caller.of("message")]
    told = [id for ack in (first, *acks) for id in (ack.message, ack.answer)]
    assert ids == told


async def test_a_message_behind_an_edit_stands_below_what_that_made(lobby: Lobby) -> None:
    """Though an edit does not say which conversation it concerns."""
    caller = await lobby.greeted()
    first = await asked(caller)
    caller.say("edit", id="e-1", message=first.message, content="2")
    caller.chat("m-2", conversation=first.conversation)
    edited, second = await caller.answer_to("e-1"), await caller.answer_to("m-2")
    await caller.complete(second.answer)
    message = await lobby.store.history.message(Owner(TENANT, "ann"), second.message)
    assert message.parent == edited.answer


async def test_a_stop_overtakes_a_message_that_is_under_way(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for nothing but itself."""
    caller = await lobby.greeted()
    caller.chat("m-1", script={"tokens": 2, "fail": "stall", "at": 1})
    first = await caller.answer_to("m-1")
    await until(lambda: caller.text(first.answer))
    gate, send = asyncio.Event(), lobby.store.sending.send

    async def slow(owner: Owner, ask: Send) -> Sent:
        await gate.wait()
        return await send(owner, ask)

    monkeypatch.setattr(lobby.store.sending, "send", slow)
    caller.chat("m-2", conversation=first.conversation)
    caller.say("stop", answer=first.answer)
    await caller.answer_to(first.answer)
    end = await caller.complete(first.answer)
    assert (end.outcome, end.finish_reason) == ("stopped", "stopped")
    assert not [ack for ack in caller.of("ack") if ack.ref == "m-2"]
    gate.set()
    second = await caller.answer_to("m-2")
    await caller.complete(second.answer)


async def test_a_message_that_waits_says_behind_how_many(lobby: Lobby) -> None:
    """Three at most; then it is `busy`, and the answers come one by one."""
    caller = await lobby.greeted()
    caller.chat("m-1", script={"tokens": 2, "fail": "stall", "at": 1})
    first = await caller.answer_to("m-1")
    for number in range(2, 6):
        caller.chat(f"m-{number}", conversation=first.conversation)
    acks = [await caller.answer_to(f"m-{number}") for number in range(2, 5)]
    assert [ack.queued for ack in acks] == [1, 2, 3]
    assert (await caller.answer_to("m-5")).code == "busy"
    caller.say("stop", answer=first.answer)
    for ack in acks:
        assert (await caller.complete(ack.answer)).outcome == "complete"


async def test_an_interrupt_follows_the_ends_that_it_causes(lobby: Lobby) -> None:
    """Of what runs and of what waits."""
    caller = await lobby.greeted()
    caller.chat("m-1", script={"tokens": 2, "fail": "stall", "at": 1})
    first = await caller.answer_to("m-1")
    caller.chat("m-2", conversation=first.conversation)
    second = await caller.answer_to("m-2")
    third = await asked(caller, "m-3", conversation=first.conversation, on_busy="interrupt")
    ends = {end.answer: end for end in caller.of("complete")}
    assert ends[first.answer].finish_reason == ends[second.answer].finish_reason == "superseded"
    assert ends[third.answer].finish_reason == "stop"
    [made] = [frame for frame in caller.of("message") if frame.message.id == third.message]
    assert made.seq > max(ends[first.answer].seq, ends[second.answer].seq)
    assert third.seq < min(ends[first.answer].seq, ends[second.answer].seq)


async def test_another_answer_and_another_question_go_beside_the_first(lobby: Lobby) -> None:
    """From a socket that did not follow: it follows from then on."""
    first = await asked(await lobby.greeted())
    again, anew = await lobby.greeted(), await lobby.greeted()
    again.say("regenerate", id="r-1", answer=first.answer)
    regenerated = await again.answer_to("r-1")
    assert regenerated.message == first.message
    await again.complete(regenerated.answer)
    assert again.text(regenerated.answer) == "aaa"
    anew.say("edit", id="e-1", message=first.message, content='{"tokens":2,"text":"b"}')
    edited = await anew.answer_to("e-1")
    await anew.complete(edited.answer)
    assert anew.text(edited.answer) == "bb"
    assert [frame.message.parent for frame in anew.of("message")] == [None, edited.message]
    assert anew.of("message")[0].message.siblings == [first.message, edited.message]


@pytest.mark.parametrize("how", ["regenerate", "edit"])
async def test_its_place_is_before_its_rows_whoever_tells_them(
    how: str, lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another instance may tell them as soon as they are committed."""
    first = await asked(await lobby.greeted())
    head = await lobby.hub.head(first.conversation)
    assert head is not None
    commit = getattr(lobby.store.sending, how)

    async def told_by_another(owner: Owner, *asked: Any, **more: Any) -> Sent:
        sent: Sent = await commit(owner, *asked, **more)
        await lobby.hub.tell(owner.tenant, sent.conversation)
        return sent

    monkeypatch.setattr(lobby.store.sending, how, told_by_another)
    caller = await lobby.greeted()
    more = {"content": '{"tokens":1}', "message": first.message} if how == "edit" else {}
    caller.say(how, id="r-1", **(more or {"answer": first.answer}))
    ack = await caller.answer_to("r-1")
    assert (ack.epoch, ack.seq) == (head.epoch, head.seq)
    await caller.complete(ack.answer)
    assert ack.answer in [frame.message.id for frame in caller.of("message")]


# ── the same id ──────────────────────────────────────────────────────────────────────────────────


async def test_the_same_id_is_the_same_message(lobby: Lobby) -> None:
    """Also at the same time, from several sockets; with another body it is a conflict."""
    callers = [await lobby.greeted() for _ in range(5)]
    for caller in callers:
        caller.chat("m-1")
    acks = [await caller.answer_to("m-1") for caller in callers]
    assert len({(ack.conversation, ack.message, ack.answer) for ack in acks}) == 1
    assert sorted(ack.duplicate for ack in acks) == [False, True, True, True, True]
    for caller, ack in zip(callers, acks, strict=True):
        await caller.complete(ack.answer)
        assert caller.text(ack.answer) == "aaa"
    callers[0].chat("m-1", script={"tokens": 9})
    assert (await callers[0].one("error")).code == "id_conflict"


async def test_who_is_cut_off_between_an_ack_and_its_snapshot_is_shown_it_later(
    lobby: Lobby,
) -> None:
    """The log tells of the message no more, so the `ack` has no position to go on from."""
    first = await asked(await lobby.greeted())
    await lobby.log.drop([first.conversation])
    other = await lobby.greeted()
    other.chat("m-1")
    ack = await other.answer_to("m-1")
    assert (await other.one("attached")).recovered is False
    await other.leave()
    left = {"conversation": ack.conversation, "epoch": ack.epoch, "seq": ack.seq}
    attached = await (await lobby.greeted(attach=[left])).one("attached")
    assert (ack.duplicate, attached.recovered) == (True, False)
    assert [message.id for message in attached.messages] == [first.message, first.answer]


@pytest.mark.parametrize("limits", [Limits(messages_per_minute=1, burst_s=1)])
async def test_an_id_that_was_taken_is_recognised_before_the_rate(lobby: Lobby) -> None:
    """A new one is told when to come again."""
    caller = await lobby.greeted()
    first = await asked(caller)
    for _ in range(3):
        caller.chat("m-1")
    await until(lambda: len(caller.of("ack")) == 4)
    assert {ack.answer for ack in caller.of("ack")} == {first.answer}
    caller.chat("m-2")
    error = await caller.answer_to("m-2")
    assert (error.code, error.retryable) == ("rate_limited", True)
    assert 0 < error.retry_after_ms <= 60_000


async def test_an_id_that_was_taken_is_recognised_by_a_full_socket(lobby: Lobby) -> None:
    """Which conversation it was does not matter."""
    caller = await lobby.greeted()
    await asked(caller)
    other = bounded(await lobby.greeted(), 0)
    other.chat("m-1")
    assert (await other.answer_to("m-1")).duplicate


# ── one attachment too many ──────────────────────────────────────────────────────────────────────


async def test_nothing_is_stored_for_what_would_be_one_attachment_too_many(lobby: Lobby) -> None:
    """Whether it comes by `attach`, `chat`, `regenerate` or `edit`."""
    writer = await lobby.greeted()
    one, two = await asked(writer), await asked(writer, "m-2")
    caller = bounded(await lobby.greeted(), 1)
    caller.say("attach", conversation=one.conversation)
    await caller.one("attached")
    caller.say("attach", conversation=two.conversation)
    caller.chat("x-1")
    caller.chat("x-2", conversation=two.conversation)
    caller.say("regenerate", id="x-3", answer=two.answer)
    caller.say("edit", id="x-4", message=two.message, content="{}")
    for ref in (two.conversation, "x-1", "x-2", "x-3", "x-4"):
        assert (await caller.answer_to(ref)).code == "quota_exceeded"
    counts = await lobby.world.rows("SELECT count(*) AS n FROM messages")
    assert counts == [{"n": 4}]
    caller.say("attach", conversation=one.conversation)  # again is none too many
    await until(lambda: len(caller.of("attached")) == 2)
    await asked(caller, "x-5", conversation=one.conversation)
    caller.say("detach", conversation=one.conversation)
    assert (await caller.answer_to(one.conversation)).ref == one.conversation
    await asked(caller, "x-6", conversation=two.conversation)


async def test_what_comes_at_once_counts_too(lobby: Lobby) -> None:
    """Of ten messages to new conversations one finds the last place, and so with `attach`."""
    caller = bounded(await lobby.greeted(), 1)
    for number in range(10):
        caller.chat(f"m-{number}")
    answers = [await caller.answer_to(f"m-{number}") for number in range(10)]
    assert sorted(type(each).__name__ for each in answers) == ["Ack"] + ["Error"] * 9
    sent = [await lobby.world.exchange() for _ in range(5)]
    other = bounded(await lobby.greeted(), 2)
    for each in sent:
        other.say("attach", conversation=each.conversation)
    await until(lambda: len(other.of("attached")) + len(other.errors) == 5)
    assert len(other.of("attached")) == 2


async def test_a_message_that_was_refused_leaves_its_place_free(lobby: Lobby) -> None:
    """Whatever it was refused for."""
    caller = bounded(await lobby.greeted(), 1)
    caller.chat("m-1", conversation="c_of_nobody")
    assert (await caller.answer_to("m-1")).code == "not_found"
    caller.chat("m-2", model="not/offered")
    assert (await caller.answer_to("m-2")).code == "invalid_field"
    await asked(caller, "m-3")


# ── everything else ──────────────────────────────────────────────────────────────────────────────


async def test_what_has_no_other_answer_is_answered_by_ok(lobby: Lobby) -> None:
    """And what it changed is told to who follows."""
    caller = await lobby.greeted()
    ack = await asked(caller)
    caller.say("regenerate", id="m-2", answer=ack.answer)
    again = await caller.answer_to("m-2")
    await caller.complete(again.answer)
    caller.say("select", id="s-1", conversation=ack.conversation, leaf=ack.answer)
    caller.say("feedback", id="f-1", message=ack.answer, rating=4, comment="good")
    caller.say("stop", answer=again.answer)
    for ref in ("s-1", "f-1", again.answer):
        assert (await caller.answer_to(ref)).ref == ref
    changed = await caller.one("conversation")
    assert changed.conversation.leaf == ack.answer
    assert (await caller.one("feedback")).rating == 4
    caller.say("history", id="h-1", conversation=ack.conversation)
    assert [m.id for m in (await caller.answer_to("h-1")).messages] == [ack.message, ack.answer]


async def test_a_tool_is_approved_or_run_by_the_client(lobby: Lobby) -> None:
    """Decided once; the answer goes on from there."""
    caller = await lobby.greeted()
    tool = {"name": "clock", "arguments": {"zone": "utc"}, "approval": True, "result": "noon"}
    caller.chat("m-1", script={"tokens": 2, "text": "t", "tool": tool})
    waiting = await caller.one("tool", state=ToolState.AWAITING_APPROVAL)
    await caller.one("status", state="parked")
    decision = {"call": waiting.call, "args_hash": waiting.args_hash}
    caller.say("approve", id="a-1", allow=True, **decision)
    await caller.answer_to("a-1")
    assert (await caller.complete(waiting.answer)).outcome == "complete"
    caller.say("approve", id="a-2", allow=False, **decision)
    assert (await caller.answer_to("a-2")).code == "approval_conflict"
    own = {"name": "mine", "description": "", "parameters": {}}
    script = {"tokens": 1, "tool": {"name": "mine", "arguments": {}}}
    caller.chat("m-2", script=script, tools=[own])
    asked_for = await caller.one("tool", name="mine", state=ToolState.REQUESTED)
    caller.say("tool_result", id="t-1", call=asked_for.call, content="42")
    await caller.answer_to("t-1")
    assert (await caller.complete(asked_for.answer)).outcome == "complete"
    done = await caller.one("tool", call=asked_for.call, state=ToolState.DONE)
    assert done.result == "42"


@pytest.mark.parametrize("limits", [Limits(typing_per_minute=1, burst_s=1)])
async def test_typing_has_no_answer(lobby: Lobby) -> None:
    """Others are told, now and then; of what is not followed, nobody."""
    caller, other = await lobby.greeted(), await lobby.greeted()
    ack = await asked(caller)
    other.say("attach", conversation=ack.conversation)
    await other.one("attached")
    for _ in range(5):
        caller.say("typing", conversation=ack.conversation)
        other.say("typing", conversation="c_of_nobody")
    caller.say("ping")
    await caller.one("pong")
    await lobby.quiet()
    assert len(other.of("typing")) == 1
    assert caller.of("typing") == []
    assert caller.errors == other.errors == []


async def test_a_strangers_ids_are_not_found(lobby: Lobby) -> None:
    """Whatever is asked of them, and nothing happens."""
    ack = await asked(await lobby.greeted())
    bob = await lobby.greeted("bob")
    frames: list[tuple[str, dict[str, Any]]] = [
        ("attach", {"conversation": ack.conversation}),
        ("chat", {"id": "x-1", "content": "x", "conversation": ack.conversation}),
        ("regenerate", {"id": "x-2", "answer": ack.answer}),
        ("edit", {"id": "x-3", "message": ack.message, "content": "x"}),
        ("stop", {"answer": ack.answer}),
        ("select", {"id": "x-4", "conversation": ack.conversation, "leaf": ack.answer}),
        ("feedback", {"id": "x-5", "message": ack.answer, "rating": "up"}),
        ("history", {"id": "x-6", "conversation": ack.conversation}),
        ("approve", {"id": "x-7", "call": "k_1", "args_hash": "0", "allow": True}),
        ("tool_result", {"id": "x-8", "call": "k_1", "content": "x"}),
    ]
    for kind, fields in frames:
        bob.say(kind, **fields)
    await until(lambda: len(bob.errors) == len(frames))
    assert {code for code, _ in bob.errors} == {"not_found"}
    assert set(bob.types) == {"welcome", "error"}
