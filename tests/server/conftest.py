"""A hub, or all of a server but its network, at work on a real store and a real log."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.limits.options import Options as Limits
from server.streams.options import Options
from server.ws.options import Options as SocketOptions
from storage.sql import open_database
from storage.sql.migrate import migrate
from tests.support.lobby import Lobby
from tests.support.place import Place
from tests.support.rows import World


@pytest.fixture
def options() -> Options:
    """Nothing gathers longer than an append takes, unless a test says so."""
    return Options()


@pytest.fixture
async def place(tmp_path: Path, options: Options) -> AsyncIterator[Place]:
    """A hub at work."""
    db = await open_database(f"sqlite:///{tmp_path}/test.db")
    await migrate(db)
    place = Place(World(db, "tenant"), options)
    running = asyncio.create_task(place.hub.run())
    yield place
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await db.close()


@pytest.fixture
def limits() -> Limits:
    """The usual ones, unless a test says otherwise."""
    return Limits()


@pytest.fixture
def socket_options() -> SocketOptions:
    """The same of sockets."""
    return SocketOptions()


@pytest.fixture
async def lobby(
    tmp_path: Path, limits: Limits, socket_options: SocketOptions
) -> AsyncIterator[Lobby]:
    """At work; nothing of it is left behind."""
    db = await open_database(f"sqlite:///{tmp_path}/lobby.db")
    await migrate(db)
    lobby = await Lobby(db, limits=limits, options=socket_options).open()
    yield lobby
    await lobby.close()
    await db.close()
