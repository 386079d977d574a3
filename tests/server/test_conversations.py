"""Requests made into rows, and all that follows from them, whoever is still there."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from protocol.codec import Unknown
from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames.from_server import (
    Complete,
    ConversationChanged,
    ConversationsChanged,
    FeedbackGiven,
    Logged,
    MessageMade,
    ServerFrame,
)
from protocol.limits import Limits
from protocol.types import ConversationStatus, OnBusy, Position, ToolState
from server.auth.policy import GRANTS, LIMITS
from server.auth.principal import Kind, Principal, Tier
from server.conversations import _once
from server.errors import ChatError
from server.generation import request
from storage.accounts import User
from storage.errors import Busy, IdConflict, NotFound, Unavailable
from storage.records import Change, NewConversation, RunState, Sent
from storage.sql import open_database
from storage.sql.migrate import migrate
from storage.values import Owner
from tests.support.faultylog import FaultyLog
from tests.support.lobby import Lobby
from tests.support.people import person
from tests.support.place import Listener
from tests.support.waiting import pause, until

ANN = person("ann")
SHORT = '{"tokens":2,"text":"a"}'
STALLS = '{"tokens":2,"text":"a","fail":"stall","at":1}'
APPROVAL = '{"tokens":1,"tool":{"name":"wipe","arguments":{},"approval":true,"result":"x"}}'


class Desk:
    """One person's requests, and what came of them."""

    def __init__(self, lobby: Lobby) -> None:
        self.lobby = lobby
        self.acks: list[tuple[Sent, Position | None]] = []
        self.told: list[tuple[Owner, ServerFrame]] = []
        self.conversations = lobby.conversations
        self.conversations._announce = lambda owner, frame: self.told.append((owner, frame))

    def acked(self, sent: Sent, place: Position | None) -> None:
        """Keep it."""
        self.acks.append((sent, place))

    async def ask(
        self,
        frame: c.Chat | c.Regenerate | c.Edit,
        *,
        principal: Principal = ANN,
        unless_known: ChatError | None = None,
    ) -> Sent:
        """Ask, and what the `ack` said."""
        into = None
        with suppress(NotFound):
            into = await self.conversations.conversation_of(principal.owner, frame)
        await self.conversations.ask(
            principal,
            frame,
            Limits(),
            self.acked,
            into=into,
            trace="s_1",
            unless_known=unless_known,
        )
        return self.acks[-1][0]

    async def chat(self, id: str = "m-1", content: str = SHORT, **fields: Any) -> Sent:
        """A message."""
        return await self.ask(c.Chat(id=id, content=content, **fields))

    async def ended(self, sent: Sent) -> None:
        """Wait for the answer's end."""
        await until(lambda: [one for one in self.lobby.ended if one.answer == sent.answer])

    async def frames(self, sent: Sent) -> list[Logged | Unknown]:
        """All that the conversation's log tells."""
        head = await self.lobby.hub.head(sent.conversation)
        assert head is not None
        listener = Listener()
        start = Position(head.epoch, 0)
        await self.lobby.hub.join(ANN.tenant, sent.conversation, listener, start)
        self.lobby.hub.leave(sent.conversation, listener)
        return listener.frames

    async def row(self, sent: Sent) -> Any:
        """The answer's."""
        return await self.lobby.world.answer(sent.answer)


@pytest.fixture
def desk(lobby: Lobby) -> Desk:
    """Of a person at work."""
    return Desk(lobby)


# ── without memory ───────────────────────────────────────────────────────────────────────────────


async def test_without_memory_new_requests_wait_and_known_ones_are_answered(desk: Desk) -> None:
    """With a time to come back that is not the same for all; what runs goes on."""
    sent = await desk.chat(content='{"tokens":40,"text":"a","every_ms":1}')
    desk.conversations._pressed = lambda: True
    refused: list[c.Chat | c.Regenerate | c.Edit] = [
        c.Chat(id="m-2", content=SHORT, conversation=sent.conversation),
        c.Regenerate(id="m-3", answer=sent.answer),
        c.Edit(id="m-4", message=sent.message, content=SHORT),
    ]
    told = set()
    for frame in refused:
        with pytest.raises(ChatError) as overloaded:
            await desk.ask(frame)
        assert overloaded.value.code is ErrorCode.OVERLOADED
        assert 2000 <= (overloaded.value.retry_after_ms or 0) <= 6000
        told.add(overloaded.value.retry_after_ms)
    assert len(told) > 1
    again = await desk.chat(content='{"tokens":40,"text":"a","every_ms":1}')
    assert (again.duplicate, again.answer) == (True, sent.answer)
    await desk.ended(sent)
    desk.conversations._pressed = lambda: False
    for frame in refused:
        assert not (await desk.ask(frame)).duplicate
        await desk.ended(desk.acks[-1][0])


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_stored_acknowledged_told_and_answered(desk: Desk) -> None:
    """In that order; a new conversation is announced to its owner, once."""
    sent = await desk.chat()
    [(acked, place)] = desk.acks
    assert (acked, place and place.seq) == (sent, 0)
    await desk.ended(sent)
    again = await desk.chat("m-2", conversation=sent.conversation)
    await desk.ended(again)
    frames = await desk.frames(sent)
    assert [type(frame) for frame in frames[:2]] == [MessageMade, MessageMade]
    assert len([frame for frame in frames if isinstance(frame, Complete)]) == 2
    [(owner, announced)] = desk.told
    assert owner == ANN.owner
    assert isinstance(announced, ConversationsChanged)
    assert (announced.change, announced.conversation.id) == ("created", sent.conversation)


async def test_what_was_asked_is_kept_for_the_run(desk: Desk) -> None:
    """Another answer is asked with the same, unless it names another model; so is an edit."""
    tool = c.ClientTool(name="mine", description="d", parameters={"type": "object"})
    fields: dict[str, Any] = {
        "model": "scripted",
        "temperature": 0.5,
        "max_tokens": 7,
        "system_prompt": "brief",
        "tools": [tool],
        "metadata": {"page": 1},
    }
    first = await desk.chat(**fields)
    await desk.ended(first)
    row = await desk.row(first)
    kept = request.decode(row.request)
    assert (kept.model, kept.temperature, kept.max_tokens) == ("scripted", 0.5, 7)
    assert (kept.system_prompt, kept.metadata, kept.trace) == ("brief", {"page": 1}, "s_1")
    assert [offer.name for offer in kept.tools] == ["mine"]
    again = await desk.ask(c.Regenerate(id="r-1", answer=first.answer, model="offline"))
    await desk.ended(again)
    repeated = await desk.row(again)
    assert request.decode(repeated.request) == kept
    assert (row.model, repeated.model, again.message) == ("scripted", "offline", first.message)
    edited = await desk.ask(c.Edit(id="e-1", message=first.message, content=SHORT))
    await desk.ended(edited)
    row = await desk.row(edited)
    assert (request.decode(row.request), row.model) == (kept, "offline")
    message = await desk.lobby.store.history.message(ANN.owner, edited.message)
    assert msgspec.json.decode(message.metadata) == {"page": 1}


async def test_a_model_that_is_gone_is_not_asked_again(desk: Desk) -> None:
    """Another answer, or one to an edited message, comes from what is offered now."""
    first = await desk.chat()
    await desk.ended(first)
    await desk.lobby.world.run(
        'UPDATE answers SET model = \'gone/one\', request = \'{"model":"gone/one","max_tokens":7}\''
    )
    again = await desk.ask(c.Regenerate(id="r-1", answer=first.answer))
    edited = await desk.ask(c.Edit(id="e-1", message=first.message, content=SHORT))
    for sent in (again, edited):
        await desk.ended(sent)
        row = await desk.row(sent)
        assert (row.model, request.decode(row.request).max_tokens) == ("scripted", 7)


@pytest.mark.parametrize(
    ("frame", "principal", "code"),
    [
        (
            c.Chat(id="x", content=SHORT, temperature=1.0),
            structs.replace(ANN, kind=Kind.VISITOR, scopes=GRANTS[Kind.VISITOR]),
            ErrorCode.FORBIDDEN,
        ),
        (c.Chat(id="x", content=SHORT), structs.replace(ANN, scopes=frozenset()), "forbidden"),
        (c.Chat(id="x", content=SHORT, model="not/offered"), ANN, ErrorCode.INVALID_FIELD),
    ],
)
async def test_what_may_not_be_asked_is_refused_and_stores_nothing(
    desk: Desk, frame: c.Chat, principal: Principal, code: ErrorCode
) -> None:
    """A scope is missing, or nobody offers that model."""
    with pytest.raises(ChatError) as refused:
        await desk.ask(frame, principal=principal)
    assert refused.value.code == code
    assert desk.acks == []
    assert await desk.lobby.world.rows("SELECT id FROM conversations") == []


async def test_an_id_that_was_taken_goes_before_every_refusal(desk: Desk) -> None:
    """Of whatever kind; a new one meets it."""
    first = await desk.chat()
    await desk.ended(first)
    frame = c.Chat(id="m-1", content=SHORT)
    full = ChatError(ErrorCode.QUOTA_EXCEEDED, "full")
    nobody = structs.replace(ANN, scopes=frozenset())
    for principal, unless_known in [(ANN, full), (nobody, None), (ANN, None)]:
        again = await desk.ask(frame, principal=principal, unless_known=unless_known)
        assert (again.answer, again.duplicate) == (first.answer, True)
    assert {place and place.seq for _, place in desk.acks} == {0}
    with pytest.raises(ChatError) as refused:
        await desk.ask(c.Chat(id="m-2", content=SHORT), unless_known=full)
    assert refused.value is full
    with pytest.raises(IdConflict):
        await desk.ask(c.Chat(id="m-1", content="another"), unless_known=full)
    assert len(desk.lobby.ended) == 1


async def test_a_repeated_id_whose_place_is_gone_has_none(desk: Desk) -> None:
    """The log does not have its rows any more."""
    first = await desk.chat()
    await desk.ended(first)
    await desk.lobby.log.drop([first.conversation])
    again = await desk.chat()
    assert (again.duplicate, desk.acks[-1][1]) == (True, None)


async def test_a_repeated_id_of_what_was_deleted_has_no_place(desk: Desk) -> None:
    """What was said there is told to nobody any more, also where the log still has it."""
    first = await desk.chat()
    await desk.ended(first)
    await desk.conversations.delete(ANN.owner, first.conversation)
    again = await desk.chat()
    assert (again.duplicate, again.answer, desk.acks[-1][1]) == (True, first.answer, None)


async def test_nothing_new_is_stored_while_the_log_is_away(tmp_path: Path) -> None:
    """Neither where a conversation goes on nor where one begins; and when it is back, all is."""
    db = await open_database(f"sqlite:///{tmp_path}/away.db")
    await migrate(db)
    log = FaultyLog()
    lobby = await Lobby(db, log=log).open()
    desk = Desk(lobby)
    first = await desk.chat()
    await desk.ended(first)
    log.gone = True
    asked: list[c.Chat | c.Regenerate | c.Edit] = [
        c.Chat(id="m-2", content=SHORT),
        c.Chat(id="m-3", content=SHORT, conversation=first.conversation),
        c.Regenerate(id="m-4", answer=first.answer),
        c.Edit(id="m-5", message=first.message, content=SHORT),
        c.Chat(id="m-1", content=SHORT),  # known, and yet nobody can say where it stands
    ]
    for frame in asked:
        with pytest.raises(Unavailable):
            await desk.ask(frame)
    rows = await lobby.world.rows("SELECT COUNT(*) AS count FROM messages")
    assert rows == [{"count": 2}]
    log.gone = False
    for frame in asked:
        await desk.ended(await desk.ask(frame))
    assert len({sent.answer for sent, _ in desk.acks}) == 5
    await lobby.close()
    await db.close()


async def test_what_is_busy_is_refused_where_that_is_asked_for(desk: Desk) -> None:
    """And the message is not stored."""
    first = await desk.chat(content=STALLS)
    with pytest.raises(Busy):
        await desk.chat("m-2", conversation=first.conversation, on_busy=OnBusy.REJECT)
    await desk.conversations.stop(ANN.owner, first.answer)
    await desk.ended(first)


async def test_an_interrupt_ends_all_that_is_under_way_first(desk: Desk) -> None:
    """Running and queued: their ends precede its rows, which precede its answer."""
    first = await desk.chat(content=STALLS)
    second = await desk.chat("m-2", conversation=first.conversation)
    third = await desk.chat("m-3", conversation=first.conversation, on_busy=OnBusy.INTERRUPT)
    await desk.ended(third)
    told = [
        frame.answer if isinstance(frame, Complete) else frame.message.id
        for frame in await desk.frames(first)
        if isinstance(frame, Complete | MessageMade)
    ]
    assert set(told[4:6]) == {first.answer, second.answer}
    assert told[6:] == [third.message, third.answer, third.answer]


# ── whoever asked is gone, or something fails ────────────────────────────────────────────────────


async def test_what_was_committed_is_told_and_run_though_its_asker_is_cancelled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit and the `ack`."""
    gate, begin = asyncio.Event(), desk.lobby.hub.begin

    async def slow(tenant: str, sent: Sent) -> Position | None:
        gate.set()
        await asyncio.Event().wait()
        return await begin(tenant, sent)

    monkeypatch.setattr(desk.lobby.hub, "begin", slow)
    asking = asyncio.create_task(desk.chat())
    await gate.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert desk.acks == []
    await until(lambda: desk.lobby.ended)
    monkeypatch.undo()
    again = await desk.chat()
    assert (again.duplicate, desk.lobby.ended[0].answer) == (True, again.answer)
    made = [frame for frame in await desk.frames(again) if isinstance(frame, MessageMade)]
    assert len(made) in (0, 2)  # none, where its epoch was opened from rows that had them


async def test_a_failure_behind_the_commit_keeps_nobody_from_the_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its asker is told `unavailable`, and the same id gets the answer."""

    async def away(*_: object) -> None:
        raise Unavailable("a test")

    with monkeypatch.context() as patch:
        patch.setattr(desk.lobby.hub, "begin", away)
        with pytest.raises(Unavailable):
            await desk.chat()
    await until(lambda: desk.lobby.ended)
    assert (await desk.chat()).duplicate


async def test_a_list_that_cannot_be_told_is_not_worth_an_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message was acknowledged."""

    async def away(*_: object) -> None:
        raise Unavailable("a test")

    monkeypatch.setattr(desk.lobby.store.conversations, "get", away)
    sent = await desk.chat(system_prompt="needs no conversation's own")
    await desk.ended(sent)
    assert desk.told == []


# ── everything else ──────────────────────────────────────────────────────────────────────────────


async def test_a_stop_is_final_and_ends_an_answer_once(desk: Desk) -> None:
    """Running, queued or ended; a stranger's is not there."""
    first = await desk.chat(content=STALLS)
    second = await desk.chat("m-2", conversation=first.conversation, content=STALLS)
    third = await desk.chat("m-3", conversation=first.conversation)
    with pytest.raises(NotFound):
        await desk.conversations.stop(person("bob").owner, first.answer)
    for sent in (second, first, second, first):
        await desk.conversations.stop(ANN.owner, sent.answer)
    await desk.ended(third)
    await desk.conversations.stop(ANN.owner, third.answer)
    ends = [frame for frame in await desk.frames(first) if isinstance(frame, Complete)]
    assert [(end.answer, end.outcome) for end in ends] == [
        (second.answer, "stopped"),
        (first.answer, "stopped"),
        (third.answer, "complete"),
    ]


async def test_who_is_shut_out_is_answered_no_more(desk: Desk) -> None:
    """Whatever runs, waits in line or waits for a person; others are."""
    accounts = desk.lobby.store.internal.accounts
    first = await desk.chat(content=STALLS)
    second = await desk.chat("m-2", conversation=first.conversation, content=STALLS)
    parked = await desk.chat("m-3", model="scripted", content=APPROVAL)
    await until_parked(desk, parked)
    bobs = await desk.ask(c.Chat(id="m-1", content=STALLS), principal=person("bob"))
    await desk.conversations.silence()
    assert desk.lobby.ended == []
    await accounts.put_user(User(tenant=ANN.tenant, id="ann"))
    await accounts.disable_user(ANN.tenant, "ann", disabled=True)
    await desk.conversations.silence()
    await desk.conversations.silence()
    for sent in (first, second, parked):
        await desk.ended(sent)
    assert {line.outcome for line in desk.lobby.ended} == {"stopped"}
    assert len(desk.lobby.ended) == 3
    assert (await desk.row(bobs)).state is RunState.RUNNING


async def test_every_answer_that_ends_leaves_one_line(desk: Desk) -> None:
    """Also those that nobody ran."""
    first = await desk.chat(content=STALLS)
    queued = [await desk.chat(f"q-{n}", conversation=first.conversation) for n in range(2)]
    await desk.conversations.stop(ANN.owner, queued[0].answer)
    last = await desk.chat("m-2", conversation=first.conversation, on_busy=OnBusy.INTERRUPT)
    await desk.ended(last)
    reasons = {line.answer: line.finish_reason for line in desk.lobby.ended}
    wanted = ["superseded", "stopped", "superseded", "stop"]
    assert [reasons[sent.answer] for sent in (first, *queued, last)] == wanted
    assert len(desk.lobby.ended) == 4


async def test_whoever_sends_a_message_again_is_not_held_up_for_it(desk: Desk) -> None:
    """What is refused is not free, whatever the reason."""
    first = await desk.chat()
    for _ in range(200):
        assert (await desk.chat()).duplicate
    await desk.ended(first)
    codes = []
    for number in range(100):
        with pytest.raises(ChatError) as refused:
            await desk.chat(f"x-{number}", model="not/offered")
        codes.append(refused.value.code)
    most = LIMITS[Tier.FREE].messages_per_minute
    assert codes.index(ErrorCode.RATE_LIMITED) == most - 1
    assert codes[: most - 1] == [ErrorCode.INVALID_FIELD] * (most - 1)
    assert (await desk.chat()).duplicate


async def test_an_id_is_known_though_what_it_names_is_gone(desk: Desk) -> None:
    """A new one meets that it is not there."""
    first = await desk.chat()
    await desk.ended(first)
    frame = c.Regenerate(id="r-1", answer=first.answer)
    again = await desk.ask(frame)
    await desk.ended(again)
    await desk.lobby.store.conversations.delete(ANN.owner, first.conversation)
    assert (await desk.ask(frame)).answer == again.answer
    with pytest.raises(NotFound):
        await desk.ask(structs.replace(frame, id="r-2"))


async def test_feedback_and_the_active_branch_are_told(desk: Desk) -> None:
    """To whoever follows; the same id again changes nothing more."""
    first = await desk.chat()
    await desk.ended(first)
    await desk.ask(c.Regenerate(id="r-1", answer=first.answer))
    await desk.ended(desk.acks[-1][0])
    given = c.GiveFeedback(id="f-1", message=first.answer, rating="up", comment="good")
    select = c.Select(id="s-1", conversation=first.conversation, leaf=first.answer)
    for _ in range(2):
        await desk.conversations.feedback(ANN.owner, given)
        await desk.conversations.select(ANN.owner, select)
    frames = await desk.frames(first)
    assert len([frame for frame in frames if isinstance(frame, FeedbackGiven)]) == 1
    [changed] = [frame for frame in frames if isinstance(frame, ConversationChanged)]
    assert changed.conversation.leaf == first.answer


@pytest.mark.parametrize("failed", [False, True])
async def test_a_clients_result_is_taken_as_what_it_is(desk: Desk, *, failed: bool) -> None:
    """A result or a failure; the answer goes on with it."""
    tool = c.ClientTool(name="mine", description="d", parameters={})
    content = '{"tokens":1,"tool":{"name":"mine","arguments":{}}}'
    sent = await desk.chat(content=content, tools=[tool])
    await until_parked(desk, sent)
    [call] = await desk.lobby.store.internal.tools.of_answer(ANN.tenant, sent.answer)
    said = {"error": "broken"} if failed else {"content": "42"}
    await desk.conversations.tool_result(ANN.owner, c.ToolResult(id="t-1", call=call.id, **said))
    await desk.ended(sent)
    [call] = await desk.lobby.store.internal.tools.of_answer(ANN.tenant, sent.answer)
    expected = (ToolState.FAILED, "broken") if failed else (ToolState.DONE, "42")
    assert (call.state, call.result) == expected


@pytest.mark.parametrize(
    ("frame", "place"),
    [
        (lambda sent: c.Chat(id="x", content="x"), lambda sent: None),
        (
            lambda sent: c.Chat(id="x", content="x", conversation=sent.conversation),
            lambda sent: sent.conversation,
        ),
        (lambda sent: c.Regenerate(id="x", answer=sent.answer), lambda sent: sent.conversation),
        (
            lambda sent: c.Edit(id="x", message=sent.message, content="x"),
            lambda sent: sent.conversation,
        ),
    ],
)
async def test_where_an_answer_would_go(
    desk: Desk,
    frame: Callable[[Sent], c.Chat | c.Regenerate | c.Edit],
    place: Callable[[Sent], str | None],
) -> None:
    """Known before anything is stored."""
    sent = await desk.lobby.world.exchange()
    found = await desk.conversations.conversation_of(ANN.owner, frame(sent))
    assert found == place(sent)


async def test_a_page_of_history_has_no_more_than_the_limit(desk: Desk) -> None:
    """Whatever was asked for."""
    sent = await desk.lobby.world.exchange()
    limits = structs.replace(Limits(), history_messages=1)
    branch = await desk.conversations.history(ANN.owner, sent.conversation, limits, limit=100)
    assert [message.id for message in branch.messages] == [sent.answer]
    assert branch.more


# ── conversations themselves ─────────────────────────────────────────────────────────────────────


async def test_a_conversation_is_made_changed_and_told_of(desk: Desk) -> None:
    """Once for each id; its own log says what changed, its owner's lists hear of all of it."""
    new, limits = NewConversation(title="a"), Limits()
    made, again = [await desk.conversations.create(ANN, "c-1", new, limits) for _ in range(2)]
    assert made == again
    change = Change(title="b", status=ConversationStatus.ARCHIVED)
    await desk.conversations.change(ANN, made.id, change, limits)
    for nothing in (Change(), change):
        await desk.conversations.change(ANN, made.id, nothing, limits)
    renamed = Change(title="c", status=ConversationStatus.ARCHIVED)
    await desk.conversations.change(ANN, made.id, renamed, limits)
    await desk.conversations.delete(ANN.owner, made.id)
    told = [frame for owner, frame in desk.told if owner == ANN.owner]
    assert all(isinstance(frame, ConversationsChanged) for frame in told)
    said = [(frame.change, frame.conversation.title) for frame in told]  # type: ignore[attr-defined]
    assert said == [("created", "a"), ("archived", "b"), ("updated", "c"), ("deleted", "c")]


async def test_what_is_deleted_stops_wherever_it_is(desk: Desk) -> None:
    """Running, parked or queued; each end is told and leaves its line."""
    running = await desk.chat("m-1", STALLS)
    queued = await desk.chat("m-2", conversation=running.conversation)
    other = await desk.chat("m-3", APPROVAL)
    await until_parked(desk, other)
    for sent in (running, other):
        await desk.conversations.delete(ANN.owner, sent.conversation)
    for sent in (running, queued, other):
        await desk.ended(sent)
        row = await desk.row(sent)
        assert (row.state, row.stop) in {(RunState.ENDED, "stopped"), (RunState.ENDED, None)}
    assert {line.outcome for line in desk.lobby.ended} == {"stopped"}
    ends = [f.answer for f in await desk.frames(running) if isinstance(f, Complete)]
    assert sorted(ends) == sorted([running.answer, queued.answer])


async def test_what_may_not_be_said_of_a_conversation_is_refused_before_anything(
    desk: Desk,
) -> None:
    """A model that is not offered, a prompt and metadata over what this principal may have."""
    limits = structs.replace(Limits(), system_prompt_bytes=4, metadata_bytes=9)
    cases: list[tuple[NewConversation, ErrorCode]] = [
        (NewConversation(model="nobody/knows"), ErrorCode.INVALID_FIELD),
        (NewConversation(system_prompt="äää"), ErrorCode.MESSAGE_TOO_LONG),
        (NewConversation(metadata=Raw(b'{"a":1234}')), ErrorCode.INVALID_FIELD),
    ]
    for new, code in cases:
        with pytest.raises(ChatError) as refused:
            await desk.conversations.create(ANN, "c-1", new, limits)
        assert refused.value.code is code
    fits = NewConversation(model="offline", system_prompt="ää", metadata=Raw(b'{"a":123}'))
    assert (await desk.conversations.create(ANN, "c-1", fits, limits)).model == "offline"


def test_the_same_request_in_any_spelling_is_the_same() -> None:
    """An id stands for what was asked, not for how it was written."""
    one = msgspec.json.decode(
        b'{"type":"chat","id":"m","content":"x","metadata":{"a":1,"b":2}}', type=c.Chat
    )
    two = msgspec.json.decode(
        b'{"metadata":{"b":2,"a":1},"parent":null,"content":"x","id":"m","type":"chat"}',
        type=c.Chat,
    )
    assert _once(one) == _once(two)
    assert _once(one) != _once(structs.replace(one, content="y"))


async def until_parked(desk: Desk, sent: Sent) -> None:
    """Until the answer waits for a person or a client."""
    async with asyncio.timeout(20):
        while (await desk.row(sent)).state is not RunState.PARKED:
            await pause()
