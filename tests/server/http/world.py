"""What a test of the HTTP side holds in its hands."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.auth.tokens import Tokens
from server.http.parts import HttpParts
from server.http.routes import application
from storage.sql.store import SqlStore
from tests.support.asgi import Answer, Client
from tests.support.lobby import Lobby

SECRET = b"a secret of no fewer than 32 bytes, for tests"


class World:
    """The parts, and an application made of them at the first request."""

    parts: HttpParts
    host: str

    def __init__(self, store: SqlStore, tokens: Tokens, lobby: Lobby) -> None:
        self.store = store
        self.lobby = lobby
        self.tokens = tokens
        self.now = 1000.0
        self.draining = False
        self._client: Client | None = None

    def change(self, **parts: Any) -> None:
        """Other parts, before the first request."""
        self.parts = replace(self.parts, **parts)

    @property
    def client(self) -> Client:
        """A client of the application."""
        self._client = self._client or Client(application(self.parts))
        return self._client

    def token(self, user: str = "u1") -> str:
        """A user's token."""
        return self.tokens.mint(user=user, ttl_s=600)

    async def get(self, target: str, **headers: str) -> Answer:
        """A GET by this server's own name."""
        return await self.client.get(target, self._headers(headers))

    async def post(self, target: str, body: Any, **headers: str) -> Answer:
        """A POST of JSON by this server's own name."""
        return await self.client.post(target, body, self._headers(headers))

    async def send(self, method: str, target: str, *body: bytes, **headers: str) -> Answer:
        """Any request by this server's own name."""
        return await self.client.request(method, target, self._headers(headers), body)

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"host": self.host, **named}
