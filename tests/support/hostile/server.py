"""A real server, an issuer beside it, and what the rows done to it may mention."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.codec import JSON
from server.cli.serving import Serving
from storage.ids import Ids
from storage.records import Send
from storage.sql import Options, open_database
from storage.sql.migrate import migrate
from storage.sql.store import SqlStore
from storage.values import Once, Owner
from tests.support.forging import SECRET, Forge, attackers_jwk, key_set
from tests.support.hostile.peer import Frame, Peer
from tests.support.parley import Parley
from tests.support.rows import REQUEST

MANY = "10000000"
USUAL = {
    "PARLEY_SCRIPTED": "1",
    "PARLEY_JWT_SECRET": SECRET,
    # All rows come from one address, and at once.
    "PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": MANY,
    "PARLEY_LIMITS_HANDSHAKES_BURST": "1000000",
    "PARLEY_LIMITS_HANDSHAKES_PER_S": "100000",
    "PARLEY_LIMITS_ARRIVALS_PER_MINUTE": "1000000",
    # Some rows leave an answer running; it is not what is looked at in the end.
    "PARLEY_SOCKET_DRAIN_PAUSE_S": "0",
    "PARLEY_SOCKET_DRAIN_GRACE_S": "0.5",
}
# The servers that rows name, as the README of the vectors tells them.
SERVERS: dict[str, dict[str, str]] = {
    "usual": {},
    "public": {
        "PARLEY_ENV": "production",
        "PARLEY_JWT_ISSUER": "parley",
        "PARLEY_JWT_AUDIENCE": "parley",
        "PARLEY_ALLOWED_ORIGINS": "https://chat.example",
    },
    "issuer": {"PARLEY_JWKS_URL": "$keys"},
    "clocks": {
        "PARLEY_SOCKET_HEARTBEAT_S": "1",
        "PARLEY_SOCKET_PONG_S": "1",
        "PARLEY_SOCKET_EXPIRING_S": "1",
        "PARLEY_SOCKET_EXPIRED_GRACE_S": "1",
        "PARLEY_AUTH_TICKET_LIFE_S": "1",
        "PARLEY_AUTH_RENEWAL_GRACE_S": "0",
        "PARLEY_AUTH_REVOCATIONS_S": "0.5",
        "PARLEY_AUTH_LEEWAY_S": "0",
    },
    "small": {
        "PARLEY_TRUSTED_PROXIES": "127.0.0.1",
        "PARLEY_LIMITS_SOCKETS": "100",
        "PARLEY_LIMITS_SOCKETS_PER_ADDRESS": "30",
        "PARLEY_LIMITS_SOCKETS_PER_TENANT": "25",
        "PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": "1",
        "PARLEY_LIMITS_HANDSHAKES_BURST": "60",
    },
    "accounts": {},
}
# Who deletes conversations, before the server starts: no frame does that.
DELETER = "deleter"


class Issuer:
    """An issuer's key set, and a trap: an address that nobody has a reason to ask."""

    def __init__(self) -> None:
        document = json.dumps(key_set()).encode()
        trapped: list[str] = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/keys":
                    trapped.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.trapped = trapped
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class Person:
    """Who sends a row's frames."""

    def __init__(self, user: str, tenant: str, token: str) -> None:
        self.user = user
        self.tenant = tenant
        self.token = token


class Server:
    """A server under attack."""

    def __init__(
        self, name: str, parley: Parley, running: Serving, issuer: Issuer, *, database_url: str
    ) -> None:
        self.name = name
        self.database_url = database_url
        self.parley = parley
        self.port = int(urlsplit(running.url).port or 0)
        self.pid = running.pid
        self.issuer = issuer
        self.forge = Forge()
        self.canaries: list[str] = []
        self.others: dict[str, Server] = {}
        self.others_sockets = 1  # of the healthy client
        self._numbers = count(1)
        self._strangers: dict[str, Any] = {}

    async def populate(self) -> None:
        """Let others live there: a stranger of the same tenant, and one of another."""
        deleted = (self.parley.folder / "deleted").read_text()
        stranger, foreigner = self.person("stranger"), self.person("foreigner", "t2")
        told = await self.story(stranger)
        self._strangers = {
            "$stranger": told["$own"],
            "$strangers_message": told["$message"],
            "$strangers_answer": told["$finished"],
            "$strangers_call": (await self.parked(stranger))["$call"],
            "$strangers_attachment": "f_of_a_stranger",
            "$foreign": (await self.story(foreigner))["$own"],
            "$deleted": deleted,
            "$missing": "c_00000000000000000000000000",
            "$trap": f"{self.issuer.url}/trap",
            "$keys": f"{self.issuer.url}/keys",
            "$jwk": attackers_jwk(),
        }

    def person(self, user: str | None = None, tenant: str = "default", **claims: Any) -> Person:
        """Somebody; nobody that was there before unless named."""
        user = user or f"u{next(self._numbers)}"
        if self.name == "issuer":
            recipe = {"key": "rsa", "claims": {"tenant": tenant, **claims}}
            return Person(user, tenant, self.forge.token(recipe, user))
        return Person(user, tenant, self.forge.good(user, tenant=tenant, **claims))

    async def connect(self, person: Person, **how: Any) -> Peer:
        """Somebody's socket, greeted."""
        peer = await Peer.connect(self.port, how.pop("codec", JSON), **how)
        await peer.hello(person.token)
        return peer

    def canary(self) -> str:
        """Words that nobody may repeat."""
        self.canaries.append(f"canary-{next(self._numbers)}-of-the-coal-mine")
        return self.canaries[-1]

    # What a row may mention of its sender's own

    async def values(self, person: Person, mentioned: set[str]) -> dict[str, Any]:
        """What the names stand for that a row mentions."""
        told = self._strangers | {"$canary": self.canary()}
        if mentioned & {"$own", "$message", "$finished", "$epoch", "$other"}:
            told |= await self.story(person)
        if "$other" in mentioned:
            told["$other"] = (await self.story(person))["$own"]
        if "$running" in mentioned:
            script = '{"tokens": 10000, "every_ms": 100}'
            told["$running"] = (await self.asked(person, script))["answer"]
        if "$call" in mentioned:
            told |= await self.parked(person)
        return told

    async def asked(self, person: Person, script: str) -> Frame:
        """The `ack` of a message to the scripted model."""
        async with await self.connect(person) as peer:
            return await self._ask(peer, script)

    async def story(self, person: Person) -> dict[str, Any]:
        """A conversation with one answer, which has ended."""
        async with await self.connect(person) as peer:
            ack = await self._ask(peer, '{"tokens": 1}')
            await peer.of_type("complete")
        return {
            "$own": ack["conversation"],
            "$message": ack["message"],
            "$finished": ack["answer"],
            "$epoch": ack["epoch"],
        }

    async def parked(self, person: Person) -> dict[str, Any]:
        """A tool's call that waits for leave."""
        tool = {"name": "send_mail", "arguments": {}, "approval": True, "result": "sent"}
        async with await self.connect(person) as peer:
            await self._ask(peer, json.dumps({"tokens": 1, "tool": tool}))
            frame = await peer.of_type("tool", state="awaiting_approval")
        return {"$call": frame["call"], "$args_hash": frame["args_hash"]}

    async def _ask(self, peer: Peer, script: str) -> Frame:
        name = f"prepared-{next(self._numbers)}"
        ack = await peer.ask({"type": "chat", "id": name, "content": script, "model": "scripted"})
        assert ack["type"] == "ack", ack
        return ack

    def fresh(self) -> str:
        """An id that nobody used."""
        return f"fresh-{next(self._numbers)}"


@contextmanager
def serving(name: str, folder: Path, **settings: str) -> Iterator[Server]:
    """A server of that name, in that folder."""
    with ExitStack() as stack:
        issuer = Issuer()
        stack.callback(issuer.close)
        chosen = {
            variable: value.replace("$keys", f"{issuer.url}/keys")
            for variable, value in {**USUAL, **SERVERS[name], **settings}.items()
        }
        parley = Parley(folder, **chosen)
        parley.data.mkdir()
        url = chosen.get("DATABASE_URL") or f"sqlite:///{parley.data / 'parley.db'}"
        (folder / "deleted").write_text(asyncio.run(deleted_conversation(url)))
        running = stack.enter_context(parley.serving())
        yield Server(name, parley, running, issuer, database_url=url)


async def deleted_conversation(url: str) -> str:
    """A conversation of the deleter's that is gone, in a database that is new."""

    db = await open_database(url, Options())
    try:
        await migrate(db)
    finally:
        await db.close()

    async def deleted(store: SqlStore) -> str:
        owner = Owner("default", DELETER)
        once = Once("deleted", "")
        sent = await store.sending.send(
            owner, Send(once=once, request=REQUEST, content="x", max_queued=3)
        )
        await store.conversations.delete(owner, sent.conversation)
        return sent.conversation

    return str(await with_store(url, deleted))


async def with_store(url: str, work: Callable[[SqlStore], Any]) -> Any:
    """Do something to the rows themselves."""
    db = await open_database(url, Options())
    try:
        return await work(SqlStore(db, Ids()))
    finally:
        await db.close()
