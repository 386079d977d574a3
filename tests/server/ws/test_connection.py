"""A socket's life: greeted, answered once per frame, kept alive, and ended for a reason."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from protocol.codec import JSON, MSGPACK, Codec
from protocol.codes import CloseCode
from protocol.types import GoawayReason
from server.limits.options import Options as Limits
from server.ws.options import Options
from server.ws.parts import GIVEN_UP_AT_ONCE
from storage.accounts import User
from storage.errors import NotFound, Unavailable
from storage.ids import Kind
from storage.values import Owner
from tests.support.lobby import TENANT, Caller, Lobby
from tests.support.logs import logging_to_memory
from tests.support.people import person
from tests.support.waiting import until

# ── the greeting ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
async def test_hello_is_welcomed_in_the_encoding_of_the_socket(lobby: Lobby, codec: Codec) -> None:
    """With who it is, and what it may."""
    caller = await lobby.greeted(codec=codec, client={"name": "test", "version": "1"})
    [welcome] = caller.of("welcome")
    assert caller.types == ["welcome"]
    assert (welcome.user, welcome.tenant, welcome.session) == ("ann", TENANT, "s_0")
    assert welcome.heartbeat_s == 25
    assert welcome.limits.messages_per_minute == 60
    assert set(welcome.features) == {"approvals", "client_tools"}
    caller.say("ping", id="p-1")
    assert (await caller.one("pong")).id == "p-1"
    assert len(lobby.registry.of(person("ann").owner)) == 1


async def test_frames_behind_hello_are_answered_after_welcome(lobby: Lobby) -> None:
    """In order, and each conversation that is to be attached gets an answer of its own."""
    sent = await lobby.world.exchange()
    caller = lobby.call()
    wanted = [{"conversation": sent.conversation}, {"conversation": "c_of_nobody"}]
    caller.say("hello", token=lobby.token(), attach=wanted)
    caller.say("ping", id="p-1")
    caller.say("history", id="h-1", conversation=sent.conversation)
    await caller.answer_to("h-1")
    await caller.one("attached", conversation=sent.conversation)
    await until(lambda: caller.errors)
    assert caller.types[0] == "welcome"
    assert caller.errors == [("not_found", "c_of_nobody")]


async def test_coming_back_costs_one_statement(lobby: Lobby) -> None:
    """With the `hello` and all: a thousand who come back at once are not to burden the database."""
    first = await lobby.greeted()
    first.chat("m-1")
    ack = await first.answer_to("m-1")
    await first.complete(ack.answer)
    await first.leave()
    await lobby.quiet()
    before = len(lobby.world.db.statements)
    at = {"conversation": ack.conversation, "epoch": ack.epoch, "seq": ack.seq}
    again = await lobby.greeted(attach=[at])
    await again.complete(ack.answer)
    assert (await again.one("attached")).recovered
    assert len(lobby.world.db.statements) - before == 1


async def test_who_says_nothing_is_closed_after_five_seconds(lobby: Lobby) -> None:
    """And is nobody's."""
    caller = lobby.call()
    await asyncio.sleep(0)
    assert caller.connection.due == lobby.now + 5
    lobby.now += 5
    caller.connection.tick(lobby.now, lobby.now)
    assert await caller.closed() == CloseCode.HELLO_TIMEOUT
    [line] = lobby.lines
    assert (line.user, line.code, line.client) == (None, 4001, None)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("junk", CloseCode.UNAUTHENTICATED),
        (None, CloseCode.UNAUTHENTICATED),
        ("expired", CloseCode.TOKEN_EXPIRED),
    ],
)
async def test_bad_credentials_close(lobby: Lobby, token: str | None, code: CloseCode) -> None:
    """With the code that says what to do; our log alone has why."""
    if token == "expired":
        token = lobby.token(ttl_s=10)
        lobby.wall += 600
    with logging_to_memory() as log:
        caller = lobby.call()
        caller.say("hello", **({} if token is None else {"token": token}))
        assert await caller.closed() == code
        [line] = [line for line in log.lines() if line["event"] == "a token was refused"]
    assert line["reason"]
    assert line["trace"] == "s_0"
    assert caller.frames == []


async def test_any_other_frame_before_hello_closes(lobby: Lobby) -> None:
    """It is nobody's."""
    caller = lobby.call()
    caller.chat("m-1")
    assert await caller.closed() == CloseCode.UNAUTHENTICATED


async def test_a_person_who_is_shut_out_is_not_let_in(lobby: Lobby) -> None:
    """However good the token."""
    await shut_out(lobby, "ann")
    caller = lobby.call()
    caller.say("hello", token=lobby.token())
    assert await caller.closed() == CloseCode.REVOKED


async def test_who_is_shut_out_while_waiting_for_a_seat_is_not_let_in(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take seconds, in which nobody can tell the socket: it belongs to no one yet."""
    take = lobby.seating.take

    async def after_news(*given: Any, **more: Any) -> bool:
        await shut_out(lobby, "ann")
        return await take(*given, **more)

    monkeypatch.setattr(lobby.seating, "take", after_news)
    caller = lobby.call()
    caller.say("hello", token=lobby.token())
    assert await caller.closed() == CloseCode.REVOKED
    assert caller.frames == []


@pytest.mark.parametrize("limits", [Limits(sockets_per_person=2)])
async def test_one_socket_too_many_is_refused_and_the_others_stay(lobby: Lobby) -> None:
    """Of a person; another person's is none too many."""
    first, second = await lobby.greeted(), await lobby.greeted()
    third = lobby.call()
    third.say("hello", token=lobby.token())
    assert await third.closed() == CloseCode.CONNECTION_LIMIT
    await lobby.greeted("bob")
    assert (first.wire.code, second.wire.code) == (None, None)
    await first.leave()
    await lobby.greeted()


async def test_who_leaves_while_verified_is_not_greeted(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys may have to be fetched."""
    gate, verify = asyncio.Event(), lobby.tokens.verify

    async def slow(token: str, *, origin: str | None) -> Any:
        await gate.wait()
        return await verify(token, origin=origin)

    monkeypatch.setattr(lobby.tokens, "verify", slow)
    caller = lobby.call()
    caller.say("hello", token=lobby.token())
    await until(lambda: lobby.background._tasks)
    await caller.leave()
    gate.set()
    await lobby.quiet()
    assert caller.frames == []
    assert len(lobby.registry) == 0


async def test_who_leaves_while_renewed_leaves_no_seat(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be counted for ever."""
    caller, gate, verify = await lobby.greeted(), asyncio.Event(), lobby.tokens.verify

    async def slow(token: str, *, origin: str | None) -> Any:
        await gate.wait()
        return await verify(token, origin=origin)

    monkeypatch.setattr(lobby.tokens, "verify", slow)
    caller.say("auth", token=lobby.token())
    await until(lambda: lobby.background._tasks)
    await caller.leave()
    gate.set()
    await lobby.quiet()
    assert len(lobby.seating) == 0


async def test_a_greeting_that_fails_here_closes_as_our_fault(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client comes again."""

    async def broken(*_: object, **__: object) -> None:
        raise ValueError("a secret in its words")

    monkeypatch.setattr(lobby.tokens, "verify", broken)
    caller = lobby.call()
    caller.say("hello", token="x")
    assert await caller.closed() == CloseCode.INTERNAL_ERROR
    assert [where for where, _ in lobby.faults] == ["s_0"]
    lobby.faults.clear()


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("failure", "code", "reported"),
    [
        (ValueError("the words of somebody's message"), "internal", True),
        (Unavailable("the words of the store"), "unavailable", False),
        (NotFound("conversation", "c_1"), "not_found", False),
    ],
)
async def test_a_failure_is_an_answer_without_its_words(
    lobby: Lobby,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    code: str,
    *,
    reported: bool,
) -> None:
    """Ours is reported under the trace that the client is told."""

    async def fails(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(lobby.conversations, "history", fails)
    caller = await lobby.greeted()
    caller.say("history", id="h-1", conversation="c_1")
    error = await caller.answer_to("h-1")
    assert (error.code, error.trace) == (code, "s_0")
    assert "words" not in error.message
    assert [where for where, _ in lobby.faults] == ["s_0"] * reported
    lobby.faults.clear()
    caller.say("ping")
    await caller.one("pong")


async def test_answers_that_come_after_the_end_are_dropped(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would receive them."""
    gate, get = asyncio.Event(), lobby.store.history.branch

    async def slow(*args: Any, **fields: Any) -> Any:
        await gate.wait()
        return await get(*args, **fields)

    sent = await lobby.world.exchange()
    monkeypatch.setattr(lobby.store.history, "branch", slow)
    caller = await lobby.greeted()
    caller.say("history", id="h-1", conversation=sent.conversation)
    caller.say("history", id="h-2", conversation="c_missing")
    await until(lambda: len(lobby.background._tasks) == 2)
    await caller.leave()
    gate.set()
    await lobby.quiet()
    assert caller.types == ["welcome"]


async def test_who_leaves_before_the_ack_leaves_nothing_behind(lobby: Lobby) -> None:
    """The message is stored and answered all the same; nobody follows it here."""
    caller = await lobby.greeted()
    caller.chat("m-1")
    await until(lambda: lobby.background._tasks)
    await caller.leave()
    await lobby.quiet()
    await until(lambda: lobby.ended)
    assert lobby.ended[0].outcome == "complete"
    assert [each.channel for each in lobby.hub._streams.values()] == [None]


async def test_bytes_that_are_no_frames_are_refused_and_in_the_end_close(lobby: Lobby) -> None:
    """Five within a minute."""
    caller = await lobby.greeted()
    for _ in range(5):
        caller.send("{")
    assert await caller.closed() == CloseCode.BAD_REQUEST
    assert caller.errors == [("bad_json", None)] * 5


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_peer_is_probed_and_given_up_without_a_pong(lobby: Lobby) -> None:
    """Its frames are no pong."""
    caller = await lobby.greeted()
    lobby.now += 25
    caller.connection.tick(lobby.now, lobby.now)
    assert caller.wire.pings == 1
    lobby.now += 5
    caller.pong()
    lobby.now += 25
    caller.connection.tick(lobby.now, lobby.now)
    caller.say("ping")
    await caller.one("pong")
    lobby.now += 10
    caller.connection.tick(lobby.now, lobby.now)
    assert await caller.closed() == CloseCode.HEARTBEAT_LOST


async def test_a_token_is_renewed_on_the_open_socket(lobby: Lobby) -> None:
    """Told a minute before its end; then it lives as long as the new one."""
    caller = await lobby.greeted()
    lobby.now += 540
    lobby.wall += 540
    caller.connection.tick(lobby.now, lobby.now)
    assert (await caller.one("expiring")).in_s == 60
    caller.say("auth", token=lobby.token(ttl_s=900))
    assert (await caller.answer_to("auth")).expires_at is not None
    for _ in range(37):  # 925 s, of the 930 that it has now
        lobby.now += 25
        caller.pong()
        caller.connection.tick(lobby.now, lobby.now)
    assert caller.wire.code is None
    caller.pong()
    lobby.now += 5
    caller.connection.tick(lobby.now, lobby.now)
    assert await caller.closed() == CloseCode.TOKEN_EXPIRED


@pytest.mark.parametrize("case", ["junk", "another", "shut out"])
async def test_a_token_that_is_not_accepted_leaves_the_old_one_good(
    lobby: Lobby, case: str
) -> None:
    """Not readable, another's, or of one who was shut out."""
    caller = await lobby.greeted()
    token = {"junk": "junk", "another": lobby.token("bob")}.get(case)
    if token is None:
        token = lobby.token()
        await shut_out(lobby, "ann")
    caller.say("auth", token=token)
    expected = "forbidden" if case == "another" else "unauthenticated"
    assert (await caller.answer_to("auth")).code == expected
    caller.say("ping")
    await caller.one("pong")


async def test_a_visitor_becomes_the_user_that_the_token_names(lobby: Lobby) -> None:
    """Conversations go along, the socket follows on, and is the user's from then on."""
    visitor = lobby.world.ids(Kind.MESSAGE)
    token, _ = lobby.tokens.mint_visitor(visitor=visitor, tenant=TENANT, site=None, origin=None)
    caller = lobby.call()
    caller.say("hello", token=token)
    caller.chat("m-1")
    ack = await caller.one("ack")
    await caller.complete(ack.answer)
    caller.say("auth", token=lobby.token("ann"))
    assert (await caller.answer_to("auth")).expires_at is not None
    assert len(lobby.registry.of(person("ann").owner)) == 1
    assert lobby.registry.of(person(visitor).owner) == ()
    caller.chat("m-2", conversation=ack.conversation)
    again = await caller.answer_to("m-2")
    await caller.complete(again.answer)
    caller.chat("m-1")
    await until(lambda: len(caller.of("ack")) == 3)
    assert caller.of("ack")[-1].duplicate


async def visiting(lobby: Lobby, visitor: str) -> Caller:
    """A visitor's socket."""
    token, _ = lobby.tokens.mint_visitor(visitor=visitor, tenant=TENANT, site=None, origin=None)
    caller = lobby.call()
    caller.say("hello", token=token)
    await caller.one("welcome")
    return caller


async def test_what_a_visitor_sends_behind_auth_is_the_users(lobby: Lobby) -> None:
    """And what came before it is the visitor's, and goes along."""
    caller = await visiting(lobby, "v_1")
    caller.chat("before")
    caller.say("auth", token=lobby.token("ann"))
    caller.chat("behind")
    acks = [await caller.answer_to(ref) for ref in ("before", "behind")]
    for ack in acks:
        await caller.complete(ack.answer)
        caller.say("history", id=ack.answer, conversation=ack.conversation)
        assert len((await caller.answer_to(ack.answer)).messages) == 2
    caller.chat("behind")
    await until(lambda: len(caller.of("ack")) == 3)
    assert caller.of("ack")[-1].duplicate


async def test_of_two_tokens_the_later_one_counts(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to verify the one before."""
    caller, verify, gate = await lobby.greeted(), lobby.parts.tokens.verify, asyncio.Event()
    first, second = lobby.token("ann"), lobby.token("ann")
    asked: list[str] = []

    async def slow(token: str, *, origin: str | None) -> Any:
        asked.append(token)
        if token == first:
            await gate.wait()
        principal = await verify(token, origin=origin)
        return structs.replace(principal, features=("first" if token == first else "second",))

    monkeypatch.setattr(lobby.parts.tokens, "verify", slow)
    caller.say("auth", token=first)
    caller.say("auth", token=second)
    await until(lambda: asked)
    gate.set()
    await until(lambda: len(caller.of("ok")) == 2)
    requests = caller.connection._requests
    assert requests is not None
    assert requests.principal.features == ("second",)


async def test_the_visitors_other_sockets_see_nothing_of_what_the_user_does(lobby: Lobby) -> None:
    """They are closed, and may come back to a list that is empty."""
    one, other = await visiting(lobby, "v_1"), await visiting(lobby, "v_1")
    stranger = await visiting(lobby, "v_2")
    one.chat("m-1")
    ack = await one.answer_to("m-1")
    await one.complete(ack.answer)
    other.say("attach", conversation=ack.conversation)
    await other.one("attached")
    one.say("auth", token=lobby.token("ann"))
    await one.answer_to("auth")
    assert (one.wire.code, other.wire.code, stranger.wire.code) == (None, 4002, None)
    again = await visiting(lobby, "v_1")
    again.say("attach", conversation=ack.conversation)
    assert (await again.answer_to(ack.conversation)).code == "not_found"


async def test_who_becomes_a_user_is_not_ended_with_the_visitor(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though a look finds the visitor's token void before the socket knows of its change."""
    one, other = await visiting(lobby, "v_1"), await visiting(lobby, "v_1")
    accounts = lobby.store.internal.accounts
    become = accounts.become
    lobby.world.clock.now = round(lobby.wall * 1000) + 1000

    async def become_and_be_looked_at(*who: str) -> None:
        await become(*who)
        assert await lobby.revocations.refresh() == [person("v_1").owner]
        for caller in (one, other):
            caller.connection.check()

    monkeypatch.setattr(accounts, "become", become_and_be_looked_at)
    one.say("auth", token=lobby.token("ann"))
    assert (await one.answer_to("auth")).expires_at is not None
    one.connection.check()
    assert await other.closed() == CloseCode.REVOKED
    assert one.wire.code is None


# ── the registry's calls ─────────────────────────────────────────────────────────────────────────


async def test_who_is_shut_out_is_closed(lobby: Lobby) -> None:
    """Looked at when it is learnt; others stay."""
    caller, other = await lobby.greeted(), await lobby.greeted("bob")
    caller.connection.check()
    assert caller.wire.code is None
    for owner in await shut_out(lobby, "ann"):
        for socket in lobby.registry.of(owner):
            socket.check()
    assert await caller.closed() == CloseCode.REVOKED
    other.connection.check()
    assert other.wire.code is None


async def test_a_draining_server_says_so_and_answers_what_it_can(lobby: Lobby) -> None:
    """New answers are for another instance; an id that was taken is recognised all the same."""
    caller, stranger = await lobby.greeted(), lobby.call()
    await asyncio.sleep(0)
    caller.chat("m-1")
    ack = await caller.answer_to("m-1")
    await caller.complete(ack.answer)
    for socket in lobby.registry:
        socket.go_away(GoawayReason.SHUTDOWN, 1840)
    assert (await caller.one("goaway")).reconnect_after_ms == 1840
    assert await stranger.closed() == CloseCode.RESTART
    caller.chat("m-2")
    caller.chat("m-1")
    caller.say("history", id="h-1", conversation=ack.conversation)
    assert (await caller.answer_to("m-2")).code == "unavailable"
    await caller.one("ack", duplicate=True)
    assert len((await caller.answer_to("h-1")).messages) == 2


@pytest.mark.parametrize("socket_options", [Options(outbox_bytes=64 * 1024)])
async def test_a_reader_too_slow_is_closed_and_followed_no_more(lobby: Lobby) -> None:
    """Its answer goes on without it."""
    caller, witness = await lobby.greeted(), await lobby.greeted()
    # Each sign takes six bytes as JSON: more than may wait, however it is folded.
    caller.chat("m-1", script={"tokens": 100, "text": "\x01" * 300, "every_ms": 1})
    ack = await caller.answer_to("m-1")
    caller.wire.jam()
    witness.say("attach", conversation=ack.conversation)
    assert await caller.closed() == CloseCode.SLOW_CONSUMER
    end = await witness.complete(ack.answer)
    assert (end.outcome, end.length) == ("complete", 30_000)
    channel = lobby.hub._channel(ack.conversation)
    assert channel is not None
    assert channel.followers == 1


async def test_readers_too_slow_are_closed_by_turns(lobby: Lobby) -> None:
    """Hundreds may stop in the same moment, and nobody else waits until all are closed."""
    callers = [await lobby.greeted() for _ in range(2 * GIVEN_UP_AT_ONCE + 1)]
    for caller in callers:
        caller.connection._overflow()
    left = [len(callers)]
    async with asyncio.timeout(10):
        while left[-1]:
            await asyncio.sleep(0)
            left.append(sum(caller.wire.code is None for caller in callers))
    assert max(before - after for before, after in pairwise(left)) == GIVEN_UP_AT_ONCE
    assert {caller.wire.code for caller in callers} == {CloseCode.SLOW_CONSUMER}


async def test_one_that_cannot_be_kept_level_is_closed(lobby: Lobby) -> None:
    """It reconnects, perhaps to an instance that can."""
    caller = await lobby.greeted()
    caller.connection._adrift()
    assert await caller.closed() == CloseCode.NOT_LEVEL


async def test_what_is_told_outside_any_answer_reaches_the_greeted_alone(lobby: Lobby) -> None:
    """Before the greeting nobody knows whose it is."""
    caller, stranger = await lobby.greeted(), lobby.call()
    await asyncio.sleep(0)
    for socket in lobby.registry:
        socket.send(caller.frames[0])
    assert (len(caller.frames), len(stranger.frames)) == (2, 0)
    assert repr(stranger.connection) == "<Connection s_1 new>"


async def test_its_line_says_what_it_was(lobby: Lobby) -> None:
    """Ids, sizes and codes."""
    caller = await lobby.greeted(client={"name": "test", "version": "1"})
    lobby.now += 3
    await caller.leave(1001)
    [line] = lobby.lines
    assert (line.session, line.user, line.client, line.code) == ("s_0", "ann", ("test", "1"), 1001)
    assert (line.duration_s, line.frames_in, line.frames_out) == (3, 1, 1)
    assert line.bytes_in > 0
    assert line.bytes_out == sum(map(len, caller.wire.written))


async def shut_out(lobby: Lobby, user: str) -> list[Owner]:
    """Disable a person, and learn of it."""
    await lobby.store.internal.accounts.put_user(User(tenant=TENANT, id=user))
    await lobby.revocations.refresh()
    await lobby.store.internal.accounts.disable_user(TENANT, user, disabled=True)
    return await lobby.revocations.refresh()
