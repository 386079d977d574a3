"""The whole server but its network: it starts, answers, drains, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from protocol.codes import CloseCode
from protocol.frames.from_server import Complete
from server.app import App, open_app
from server.config import Settings, load, secured
from storage.accounts import User
from storage.errors import Busy, StorageError, Unavailable
from storage.sql import Options, open_database
from storage.sql.migrate import migrate
from storage.values import Owner
from tests.support.asgi import Client
from tests.support.guest import Guest
from tests.support.handshake import Handshake
from tests.support.waiting import pause, until

FAST = {
    "PARLEY_MODEL": "scripted",
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0.01",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "0.05",
}
SHORT = '{"tokens":3,"text":"a"}'
STALLS = '{"tokens":2,"text":"a","fail":"stall","at":1}'
HOLDERS = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
ALL_OTHERS_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(params=["sqlite", "postgresql"])
async def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a server on a database of its own, up to date."""
    environ = {**FAST, "PARLEY_DATA_DIR": str(tmp_path)}
    if request.param == "postgresql":
        environ["DATABASE_URL"] = request.getfixturevalue("fresh_postgres")()
    settings = secured(load(environ))
    db = await open_database(settings.store_url, settings.database)
    await migrate(db)
    await db.close()
    return settings


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[App]:
    """A server at work, which leaves no task behind."""
    before = asyncio.all_tasks()
    async with open_app(settings) as app:
        yield app
    left = asyncio.all_tasks() - before
    assert [task.get_name() for task in left] == []


async def test_a_message_is_answered_over_a_socket_in_this_process(settings: Settings) -> None:
    """From the handshake to the end, and the health pages say that all is well."""
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        ack = await ann.chat(SHORT)
        end = await ann.one("complete")
        assert isinstance(end, Complete)
        assert (end.outcome, end.length, ann.text(ack.answer)) == ("complete", 3, "aaa")
        ready = await Client(app.asgi).get("/health/ready")
        assert (ready.status, ready.json()["ready"]) == (200, True)
        await ann.socket.leave()


async def test_a_drain_says_goaway_ends_answers_and_closes(settings: Settings) -> None:
    """What was shown ends as `interrupted`; newcomers are told to go elsewhere."""
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        ack = await ann.chat(STALLS)
        await until(lambda: ann.text(ack.answer))
        draining = asyncio.create_task(app.drain())
        await ann.one("goaway")
        assert (await Handshake(app.asgi).refused())[:2] == (503, "unavailable")
        end = await ann.one("complete")
        assert (end.outcome, end.finish_reason) == ("interrupted", "shutdown")
        await draining
        assert ann.socket.wire.code == CloseCode.RESTART
        await ann.socket.running


async def test_what_was_queued_is_answered_by_the_next_server(settings: Settings) -> None:
    """Acknowledged is acknowledged; the interrupted answer keeps what was shown."""
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        first = await ann.chat(STALLS)
        await until(lambda: ann.text(first.answer))
        second = await ann.chat(SHORT, "m-2", conversation=first.conversation)
        assert second.queued == 1
        await app.drain()
        await ann.socket.running
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        ann.socket.say(type="attach", conversation=first.conversation)
        attached = await ann.one("attached")
        shown = {message.id: message for message in attached.messages}
        if second.answer not in shown or shown[second.answer].outcome is None:
            await ann.one("complete", lambda end: end.answer == second.answer)
        ann.socket.say(type="history", id="h-1", conversation=first.conversation)
        page = await ann.one("history")
        contents = [(message.content, message.outcome) for message in page.messages[1::2]]
        assert contents == [("a", "interrupted"), ("aaa", "complete")]
        await ann.socket.leave()


async def test_a_server_that_was_not_drained_leaves_nothing_running(settings: Settings) -> None:
    """As where its listener failed."""
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        ack = await ann.chat(STALLS)
        await until(lambda: ann.text(ack.answer))
        await ann.socket.leave()


async def test_two_servers_on_one_database_are_one_too_many(settings: Settings) -> None:
    """Their logs are in memory, so neither would hear of the other."""
    async with serving(settings) as app:
        other = structs.replace(settings, database=Options(exclusive=False))
        with pytest.raises(Busy):
            async with serving(other):
                pass
        assert not app.draining


async def test_a_database_that_restarts_is_served_on(fresh_postgres: Callable[[], str]) -> None:
    """All sessions end, the lock's too; nothing is lost, and nobody has to do anything."""
    environ = {**FAST, "PARLEY_JWT_SECRET": "x" * 32, "DATABASE_URL": fresh_postgres()}
    settings = secured(load(environ))
    db = await open_database(settings.store_url, settings.database)
    await migrate(db)
    async with serving(settings) as app:
        ann = await Guest(app, settings).greeted()
        before = await db.read(lambda c: c.all(HOLDERS))
        await db.read(lambda c: c.all(ALL_OTHERS_END))
        ack = await ann.chat(SHORT)
        await ann.one("complete", lambda end: end.answer == ack.answer)
        while len(now := await db.read(lambda c: c.all(HOLDERS))) != 1 or now == before:
            await pause()
        ready = await Client(app.asgi).get("/health/ready")
        assert (ready.status, ready.json()["ready"]) == (200, True)
        other = structs.replace(settings, instance="other")
        with pytest.raises(Busy):
            async with serving(other):
                pass
        await ann.socket.leave()
    await db.close()


async def test_a_database_without_a_schema_is_not_served(tmp_path: Path) -> None:
    """It fails at the start, not at the first message, and leaves nothing running."""
    settings = secured(load({**FAST, "PARLEY_DATA_DIR": str(tmp_path)}))
    with pytest.raises(StorageError):
        async with serving(settings):
            pass


async def test_a_loop_that_fell_makes_the_server_unready(settings: Settings) -> None:
    """So that others get its traffic."""
    async with serving(settings) as app:
        appends = app._background._loops["appends"]
        appends.cancel()
        await asyncio.gather(appends, return_exceptions=True)
        ready = await Client(app.asgi).get("/health/ready")
        assert ready.status == 503


async def test_answers_of_who_was_shut_out_are_stopped_even_if_the_first_try_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The news of it comes once; a database that is away for a moment must not eat it."""
    often = structs.replace(settings, auth=structs.replace(settings.auth, revocations_s=0.01))
    async with serving(often) as app:
        ann = await Guest(app, settings).greeted()
        ack = await ann.chat(STALLS)
        await until(lambda: ann.text(ack.answer))
        stop, tries = app._conversations.stop, 0

        async def stumbling(owner: Owner, answer: str) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise Unavailable("away")
            await stop(owner, answer)

        monkeypatch.setattr(app._conversations, "stop", stumbling)
        accounts = app._store.internal.accounts
        await accounts.put_user(User(tenant="default", id="ann"))
        await accounts.disable_user("default", "ann", disabled=True)
        await until(lambda: not app._supervisor.running)
        assert (ann.socket.wire.code, tries) == (CloseCode.REVOKED, 2)
        await ann.socket.running
