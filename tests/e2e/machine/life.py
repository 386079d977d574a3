"""One server after the other on the same rows, in this process, as if each were a process.

One that ends in an orderly way drains, as after SIGTERM. One that is killed leaves behind what was
committed at that moment and no more: its connections are cut, its rows are copied as they stand,
and whatever it still does is done to rows that nobody reads again.
"""

import asyncio
import shutil
import socket
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec import structs

from server import app as composition
from server.app import App, open_app
from server.config.settings import Settings
from server.generation.options import Options as Answers
from server.limits.options import Options as Limits
from server.net.options import Options as Net
from server.net.server import Server, listen, server_config
from server.ws.options import Options as Sockets
from storage.sql import open_database
from storage.sql.migrate import migrate
from tests.e2e.machine.tally import Tally
from tests.support.serving import LOOPBACK

SECRET = "a secret of the state machine's own, longer than thirty-two bytes"
UNHURRIED_S = 600.0
LIVELY = Settings(
    jwt_secret=SECRET,
    model="scripted",
    instance="machine",
    net=Net(close_s=0.2),
    limits=Limits(
        messages_per_minute=1_000_000,
        typing_per_minute=1_000_000,
        sockets_per_person=1000,
        handshakes_per_minute=1_000_000,
        handshakes_burst=1_000_000,
        loop_held_s=UNHURRIED_S,  # others may have the processor for as long as they like
    ),
    socket=Sockets(drain_batches=1, drain_pause_s=0, drain_spread_s=0, drain_grace_s=0.05),
    # Whatever stalls does so until it is told to stop.
    answers=Answers(
        first_token_s=UNHURRIED_S, idle_s=UNHURRIED_S, backoff_s=0, retry_reserve=10_000
    ),
)


async def make_template(path: Path) -> None:
    """An empty database of the present schema, for lives to begin with a copy of."""
    db = await open_database(f"sqlite:///{path}")
    await migrate(db)
    await db.close()


class Lives:
    """The present life of the server, and what it inherited."""

    def __init__(self, template: Path, folder: Path, **options: Any) -> None:
        self.tally = Tally()
        self.port = 0
        self._folder = folder
        self._deaths = 0
        self._options = options
        shutil.copy(template, self.path)

    @property
    def path(self) -> Path:
        """Where its rows are."""
        return self._folder / f"parley-{self._deaths}.db"

    async def begin(self) -> None:
        """Start a server and wait until it serves."""
        settings = structs.replace(
            LIVELY, data_dir=self._folder, database_url=f"sqlite:///{self.path}", **self._options
        )
        self._stack = AsyncExitStack()
        with patch.object(composition, "Scripted", self.tally.model):
            self.app: App = await self._stack.enter_async_context(open_app(settings))
        config = server_config(self.app.asgi, settings.net)
        config.load()
        self._server = Server(config, self.app.drain)
        self._server.lifespan = config.lifespan_class(config)
        self._listener: socket.socket = listen(LOOPBACK, 0, settings.net)
        self.port = self._listener.getsockname()[1]
        await self._server.startup([self._listener])

    async def end(self) -> None:
        """Drain and stop."""
        await self._server.shutdown([self._listener])
        await self._stack.aclose()

    async def die(self) -> None:
        """Stop at once; the next life begins with what was committed until now."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        corpse = self.path
        self._deaths += 1
        with closing(sqlite3.connect(corpse)) as old, closing(sqlite3.connect(self.path)) as new:
            old.backup(new)
        await self.end()

    def rows(self, sql: str, *binds: object) -> list[dict[str, Any]]:
        """What is committed, read beside the server."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, binds)]

    async def lose_log(self, conversation: str) -> None:
        """As a log may be lost that others keep."""
        await self.app._hub._log.drop([conversation])

    async def at_rest(self) -> None:
        """Wait until the server holds nothing for anybody; say what it holds if it never does."""
        try:
            async with asyncio.timeout(5):
                while self.held():  # noqa: ASYNC110 - it may be anything's state
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"the server does not come to rest: {self.held()}") from None

    def held(self) -> dict[str, Any]:
        """What the server holds for sockets and answers, by what it is."""
        app = self.app
        hub = app._hub
        held = {
            "sockets": len(app._registry),
            "answers": app._supervisor.running,
            "tasks of answers": list(app._supervisor._tasks),
            "tasks of sockets": list(app._background._tasks),
            "channels": [s.channel for s in hub._streams.values() if s.channel is not None],
            "writers": [w for s in hub._streams.values() for w in s.writers.values()],
            "subscriptions": dict(hub._log._subscriptions),  # type: ignore[attr-defined]
        }
        return {name: what for name, what in held.items() if what}
