"""The plain HTTP side over a real store, with clocks and chance of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.auth.doors import Doors
from server.auth.keys import OneKey
from server.auth.options import Options as AuthOptions
from server.auth.revocations import Revocations
from server.auth.tickets import Tickets
from server.auth.tokens import Tokens
from server.auth.visitors import Visitors
from server.http.health import About, Load
from server.http.options import Options
from server.http.parts import HttpParts
from server.limits.options import Options as Limits
from server.limits.rates import Rates
from server.limits.shares import Shares
from storage.accounts import Site, Tenant
from storage.ids import Ids
from storage.memory.tickets import MemoryTickets
from storage.sql import open_database
from storage.sql.migrate import migrate
from storage.sql.store import SqlStore
from tests.server.http.world import SECRET, World
from tests.support.lobby import Lobby


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A migrated database of the test's own, with one site."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    store = SqlStore(db, Ids())
    accounts = store.internal.accounts
    await accounts.put_tenant(Tenant(id="acme", name="Acme"))
    await accounts.put_site(
        Site(
            tenant="acme",
            id="shop",
            public_key="pk_shop",
            name="Shop",
            origins=("https://shop.example",),
        )
    )
    yield store
    await db.close()


@pytest.fixture
def world(store: SqlStore, lobby: Lobby) -> World:
    """In production: origins are configured."""
    return make_world(store, lobby, development=False)


@pytest.fixture
def loopback(store: SqlStore, lobby: Lobby) -> World:
    """In development."""
    return make_world(store, lobby, development=True)


def make_world(store: SqlStore, lobby: Lobby, *, development: bool) -> World:
    auth = AuthOptions()
    accounts = store.internal.accounts
    tokens = Tokens(
        OneKey.of_secret(SECRET),
        auth,
        issuer="issuer",
        audience="parley",
        secret=SECRET,
        development=development,
    )
    doors = Doors(development=development, origins=["https://chat.example"])
    doors.learn(["https://shop.example"])
    limits = Limits(arrivals_per_minute=3)
    world = World(store, tokens, lobby)
    world.parts = HttpParts(
        about=About(version="0.1.0", instance="i1", schema_version=2),
        options=Options(body_s=5.0),
        limits=limits,
        doors=doors,
        tokens=tokens,
        tickets=Tickets(MemoryTickets(), auth),
        visitors=Visitors(
            tokens,
            accounts,
            store.internal.renewals,
            auth,
            secret=SECRET,
            development=development,
        ),
        revocations=Revocations(accounts, auth),
        rates=Rates(limits, clock=lambda: world.now),
        conversations=lobby.conversations,
        store=lobby.store,
        fetches=lobby.parts.fetches,
        commands=lobby.parts.commands,
        searches=Shares(1, 2),
        probes={},
        load=lambda: Load(sockets=3, answers=2),
        draining=lambda: world.draining,
        clock=lambda: world.now,
    )
    world.host = "localhost:8000" if development else "chat.example"
    return world
