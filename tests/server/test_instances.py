"""Two whole servers on one database: what one of them holds, the other can reach."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs

from protocol.codes import CloseCode
from protocol.frames.from_server import Complete, MessageMade
from server.app import App
from server.commons import Commons, commons_of
from server.config import Settings, load, secured
from server.generation.options import Options as AnswerOptions
from storage.accounts import User
from storage.memory.bus import MemoryBus, Switchboard
from storage.memory.log import MemoryLog
from storage.memory.sessions import Hall, MemorySeats
from storage.memory.tickets import MemoryTickets
from storage.sql import Options, open_database
from storage.sql.migrate import migrate
from storage.values import Owner
from tests.support.asgi import Client
from tests.support.guest import Guest, tokens_of
from tests.support.waiting import until

SHORT = '{"tokens":3,"text":"a"}'
STALLS = '{"tokens":2,"text":"a","fail":"stall","at":1}'
NEVER_S = 3600.0  # what words are for would else be found by looking


class Pair(Struct):
    """Two instances, and what their sockets are opened with."""

    one: App
    other: App
    settings: Settings

    async def guest(self, app: App, **opening: Any) -> Guest:
        """A greeted socket there."""
        return await Guest(app, self.settings, **opening).greeted()


@pytest.fixture(params=["memory", "redis"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of two servers that learn nothing by themselves for an hour, and wait for no grace.

    They share SQLite and this process's memory, or else PostgreSQL and Redis.
    """
    environ = {
        "PARLEY_MODEL": "scripted",
        "PARLEY_DATA_DIR": str(tmp_path),
        "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.01",
        "PARLEY_SOCKET_DRAIN_GRACE_S": "0.05",
        "PARLEY_LIMITS_SOCKETS_PER_PERSON": "3",
    }
    if request.param == "redis":
        environ["DATABASE_URL"] = request.getfixturevalue("fresh_postgres")()
        environ["REDIS_URL"] = request.getfixturevalue("redis_url")
        environ["PARLEY_REDIS_PREFIX"] = f"pair-{secrets.token_hex(4)}"
    settings = secured(load(environ))
    db = await open_database(settings.store_url, settings.database)
    await migrate(db)
    await db.close()
    return structs.replace(settings, answers=AnswerOptions(checkpoint_s=NEVER_S, sweep_s=NEVER_S))


@pytest.fixture
async def pair(settings: Settings) -> AsyncIterator[Pair]:
    """Both at work."""
    common = InMemory(settings)
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(serving(settings, common)) for _ in range(2)]
        yield Pair(one, other, settings)


class InMemory:
    """What two instances share where they share a process."""

    def __init__(self, settings: Settings) -> None:
        self._switchboard, self._hall = Switchboard(), Hall()
        self._log, self._tickets = MemoryLog(settings.log), MemoryTickets()

    def commons(self) -> Commons:
        """One instance's part in it."""
        return Commons(
            log=self._log,
            bus=MemoryBus(self._switchboard),
            tickets=self._tickets,
            seats=lambda name: MemorySeats(name, self._hall),
        )


@asynccontextmanager
async def serving(settings: Settings, common: InMemory) -> AsyncIterator[App]:
    """An instance that is not alone on its database."""
    async with AsyncExitStack() as stack:
        db = await open_database(settings.store_url, Options(exclusive=False))
        stack.push_async_callback(db.close)
        commons = common.commons()
        if settings.redis_url is not None:
            commons = await stack.enter_async_context(commons_of(settings))
        app = App(settings, db, None, commons)
        stack.push_async_callback(app.stop)
        await app.start()
        yield app


async def test_a_stop_reaches_the_answer_wherever_it_is_made(pair: Pair) -> None:
    """At once: the store is not asked about stops for an hour here. All see the same end."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    ack = await ann.chat(STALLS)
    elsewhere.socket.say(type="attach", conversation=ack.conversation)
    await until(lambda: ann.text(ack.answer))
    elsewhere.socket.say(type="stop", answer=ack.answer)
    ends = [await each.one("complete") for each in (ann, elsewhere)]
    assert [(end.outcome, end.length) for end in ends] == [("stopped", 1)] * 2
    for each in (ann, elsewhere):
        await each.socket.leave()


async def test_an_answer_elsewhere_is_interrupted_by_the_next_message(pair: Pair) -> None:
    """Its end comes before that message, and then the message is answered."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    first = await ann.chat(STALLS)
    await until(lambda: ann.text(first.answer))
    second = await elsewhere.chat(
        SHORT, "m-2", conversation=first.conversation, on_busy="interrupt"
    )
    await ann.one("complete", lambda end: end.answer == second.answer)
    told = [f for f in ann.socket.wire.frames if isinstance(f, MessageMade | Complete)]
    ends = [frame for frame in told if isinstance(frame, Complete)]
    assert [(end.answer, end.finish_reason) for end in ends] == [
        (first.answer, "superseded"),
        (second.answer, "stop"),
    ]
    made = [frame.message.id if isinstance(frame, MessageMade) else "" for frame in told]
    assert told.index(ends[0]) < made.index(second.message) < told.index(ends[1])
    for each in (ann, elsewhere):
        await each.socket.leave()


async def test_a_parked_answer_goes_on_where_it_is_approved(pair: Pair) -> None:
    """Nobody owns it while it waits, so any instance may."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    tool = '{"name":"wipe","arguments":{},"approval":true,"result":"x"}'
    ack = await ann.chat(f'{{"tokens":2,"text":"t","tool":{tool}}}')
    await ann.one("status", lambda status: status.state == "parked")
    waiting = await ann.one("tool", lambda tool: tool.state == "awaiting_approval")
    elsewhere.socket.say(
        type="approve", id="a-1", call=waiting.call, args_hash=waiting.args_hash, allow=True
    )
    await elsewhere.one("ok", lambda ok: ok.ref == "a-1")
    end = await ann.one("complete")
    assert (end.answer, end.outcome) == (ack.answer, "complete")
    for each in (ann, elsewhere):
        await each.socket.leave()


async def test_a_result_of_a_clients_tool_may_come_to_another_instance(pair: Pair) -> None:
    """As an approval may."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    own = {"name": "mine", "description": "", "parameters": {}}
    await ann.chat('{"tokens":1,"tool":{"name":"mine","arguments":{}}}', tools=[own])
    await ann.one("status", lambda status: status.state == "parked")
    waiting = await ann.one("tool")
    elsewhere.socket.say(type="tool_result", id="r-1", call=waiting.call, content="here")
    await elsewhere.one("ok", lambda ok: ok.ref == "r-1")
    assert (await ann.one("complete")).outcome == "complete"
    for each in (ann, elsewhere):
        await each.socket.leave()


async def test_typing_and_presence_reach_who_follows_elsewhere(pair: Pair) -> None:
    """Two devices of one person at two instances are two."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    ack = await ann.chat(SHORT)
    await ann.one("complete")
    elsewhere.socket.say(type="attach", conversation=ack.conversation)
    for each in (ann, elsewhere):
        presence = await each.one("presence")
        assert (presence.conversation, presence.sockets) == (ack.conversation, 2)
    elsewhere.socket.say(type="typing", conversation=ack.conversation)
    assert (await ann.one("typing")).user == "ann"
    assert elsewhere.frames("typing") == []
    await elsewhere.socket.leave()
    await ann.one("presence", lambda presence: presence.sockets == 1)
    await ann.socket.leave()


async def test_a_new_conversation_is_announced_to_the_persons_sockets_elsewhere(
    pair: Pair,
) -> None:
    """And to nobody else's."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    token = tokens_of(pair.settings).mint(user="bob", ttl_s=600)
    bob = await pair.guest(pair.other, token=token)
    ack = await ann.chat(SHORT)
    told = await elsewhere.one("conversations")
    assert (told.conversation.id, told.change) == (ack.conversation, "created")
    await ann.one("complete")
    assert bob.frames("conversations") == []
    for each in (ann, elsewhere, bob):
        await each.socket.leave()


async def test_a_change_over_http_is_told_to_the_persons_sockets_elsewhere(pair: Pair) -> None:
    """To followers by the log and to all by word; who followed what is deleted is let go there."""
    elsewhere = await pair.guest(pair.other)
    ack = await elsewhere.chat(STALLS)
    await until(lambda: elsewhere.text(ack.answer))
    token = tokens_of(pair.settings).mint(user="ann", ttl_s=600)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    path = f"/api/v1/conversations/{ack.conversation}"
    client = Client(pair.one.asgi)
    renamed = await client.request("PATCH", path, headers, [b'{"title":"New"}'])
    assert renamed.status == 200
    assert (await elsewhere.one("conversation")).conversation.title == "New"
    told = await elsewhere.one("conversations", lambda told: told.change == "updated")
    assert told.conversation.title == "New"
    assert (await client.request("DELETE", path, headers)).status == 204
    await elsewhere.one("conversations", lambda told: told.change == "deleted")
    elsewhere.socket.say(type="attach", conversation=ack.conversation)
    assert (await elsewhere.one("error")).code == "not_found"
    await elsewhere.socket.leave()


async def test_a_visitors_sockets_end_everywhere_when_one_becomes_a_users(pair: Pair) -> None:
    """Whatever they follow is the user's by then."""
    tokens = tokens_of(pair.settings)
    token, _ = tokens.mint_visitor(visitor="v_1", tenant="default", site=None, origin=None)
    here = await pair.guest(pair.one, token=token)
    there = await pair.guest(pair.other, token=token)
    here.socket.say(type="auth", token=tokens.mint(user="ann", ttl_s=600))
    await here.one("ok")
    await there.socket.running
    assert there.socket.wire.code == CloseCode.TOKEN_EXPIRED
    await here.socket.leave()


async def test_a_visitors_sockets_end_also_where_nobody_was_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word goes once at most; what was voided is found by the next look, and by the door."""
    tokens = tokens_of(pair.settings)
    token, _ = tokens.mint_visitor(visitor="v_1", tenant="default", site=None, origin=None)
    here = await pair.guest(pair.one, token=token)
    there = await pair.guest(pair.other, token=token)
    monkeypatch.setattr(pair.one._registry, "kick", lambda *_, **__: None)
    here.socket.say(type="auth", token=tokens.mint(user="ann", ttl_s=600))
    await here.one("ok")
    for each in (pair.one, pair.other):
        await each._learn_accounts()
    await there.socket.running
    again = Guest(pair.other, pair.settings, token)
    codes = [there.socket.wire.code, await again.closed(), here.socket.wire.code]
    assert codes == [CloseCode.REVOKED, CloseCode.REVOKED, None]
    await here.socket.leave()


async def test_who_was_shut_out_is_shut_out_everywhere_as_soon_as_one_instance_knows(
    pair: Pair,
) -> None:
    """No socket waits for its own instance's next look."""
    ann, elsewhere = await pair.guest(pair.one), await pair.guest(pair.other)
    accounts = pair.one._store.internal.accounts
    await accounts.put_user(User(tenant="default", id="ann"))
    await accounts.disable_user("default", "ann", disabled=True)
    pair.other._background._loops.pop("accounts").cancel()
    await pair.one._learn_accounts()
    async with asyncio.timeout(5):
        await asyncio.gather(ann.socket.running, elsewhere.socket.running)
    assert [each.socket.wire.code for each in (ann, elsewhere)] == [CloseCode.REVOKED] * 2
    assert pair.other._registry.of(Owner("default", "ann")) == ()


async def test_a_ticket_of_one_instance_opens_a_socket_at_another_once(pair: Pair) -> None:
    """The second time it is refused at both."""
    token = tokens_of(pair.settings).mint(user="ann", ttl_s=600)
    headers = {"authorization": f"Bearer {token}"}
    bought = await Client(pair.one.asgi).post("/api/v1/tickets", {}, headers)
    query = f"ticket={bought.json()['ticket']}"
    ann = await pair.guest(pair.other, token="", query=query)
    for app in (pair.one, pair.other):
        again = Guest(app, pair.settings, "", query=query)
        assert await again.closed() == CloseCode.UNAUTHENTICATED
    await ann.socket.leave()


async def test_a_persons_sockets_are_counted_over_all_instances(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is closed; whoever was there before stays, and makes room by leaving.

    Each has heard of the other, as it does within a second.
    """
    monkeypatch.setattr("server.sessions.seating.LEASE_S", 0.0)
    await pair.one._seating.keep()
    guests = [await pair.guest(app) for app in (pair.one, pair.one, pair.other)]
    for app in (pair.one, pair.other):
        late = Guest(app, pair.settings)
        assert await late.closed() == CloseCode.CONNECTION_LIMIT
    assert [guest.socket.wire.code for guest in guests] == [None] * 3
    await guests.pop(0).socket.leave()
    guests.append(await pair.guest(pair.other))
    for guest in guests:
        await guest.socket.leave()
