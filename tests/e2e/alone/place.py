"""Where the dialogues take place: a real server, people with tokens, and scripts to speak."""

import asyncio
import base64
import hashlib
import hmac
import json
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec, Self

from server.cli.serving import Serving
from tests.e2e.alone.client import Client, Frame, Wire
from tests.support.parley import Parley
from tests.support.services import free_port

SECRET = "alone-with-the-document-and-nothing-else"
PATIENCE_S = 60.0

Given = ParamSpec("Given")

_ids = count(1)


def patient(
    test: Callable[Given, Coroutine[Any, Any, None]],
) -> Callable[Given, Coroutine[Any, Any, None]]:
    """A test that fails if it takes too long."""

    @wraps(test)
    async def timed(*args: Given.args, **kwargs: Given.kwargs) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(*args, **kwargs)

    return timed


async def together(story: Callable[["Person"], Awaitable[None]], people: list["Person"]) -> None:
    """The same story for several people, at the same time."""
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(asyncio.wait_for(story(person), PATIENCE_S))


def fresh(prefix: str = "m") -> str:
    """An id that nobody used."""
    return f"{prefix}-{next(_ids)}"


def script(**steps: Any) -> str:
    """What the `scripted` model takes for a message."""
    return json.dumps(steps)


def token(user: str, ttl_s: float = 3600) -> str:
    """A token of the development issuer, as `parley token` prints it."""
    ends = int(time.time() + ttl_s)
    claims = {
        "iat": min(int(time.time()), ends - 60),
        "exp": ends,
        "jti": fresh("j"),
        "iss": "parley",
    }
    claims |= {"aud": "parley", "sub": user, "tenant": "default", "roles": ["user"], "tier": "free"}
    signed = ".".join(_packed(part) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_text(digest)}"


def _packed(part: object) -> str:
    return _text(json.dumps(part).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class House:
    """A server on a port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """The settings beyond those that make tests possible."""
        everywhere = {
            "PARLEY_JWT_SECRET": SECRET,
            "PARLEY_MODEL": "scripted",
            "PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": "100000",
            "PARLEY_LIMITS_HANDSHAKES_BURST": "1000",
            "PARLEY_LIMITS_HANDSHAKES_PER_S": "100000",
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.parley = Parley(folder, **(everywhere | settings))
        self.parley.set(PARLEY_PORT=str(free_port()))
        self.serving: Serving | None = None

    def open(self) -> None:
        """Start, and wait until it serves."""
        self.serving = self.parley.start()

    def kill(self) -> None:
        """End at once: SIGKILL."""
        self.parley.kill()

    def stop(self) -> int:
        """End as an operator does: SIGTERM."""
        return self.parley.stop(signal.SIGTERM)

    @property
    def http(self) -> str:
        """Where HTTP is spoken."""
        assert self.serving is not None
        return self.serving.url

    @property
    def ws(self) -> str:
        """Where the socket is."""
        return self.http.replace("http", "ws", 1) + "/ws"


@dataclass
class Person:
    """A user with devices, all in one encoding."""

    house: House
    encoding: str
    user: str
    wires: list[Wire] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        """For as long as a test lasts."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go of every bare socket."""
        for wire in self.wires:
            wire.abort()
            await wire.socket.wait_closed()

    def token(self, ttl_s: float = 3600) -> str:
        """A new token of this user."""
        return token(self.user, ttl_s)

    def client(self, **options: Any) -> Client:
        """A device that stays connected."""
        options.setdefault("chance", lambda: 0.02)
        options.setdefault("token", self.token())
        options.setdefault("encoding", self.encoding)
        return Client(self.house.ws, **options)

    async def dial(self, query: str = "", **headers: str) -> Wire:
        """A bare socket, on which nothing was said."""
        wire = await Wire.dial(self.house.ws + query, self.encoding, headers)
        self.wires.append(wire)
        return wire

    async def wire(self, ttl_s: float = 3600, **hello: Any) -> Wire:
        """A bare socket after `welcome`."""
        wire = await self.dial()
        await wire.send({"type": "hello", "token": self.token(ttl_s), **hello})
        assert (await wire.recv())["type"] == "welcome"
        return wire


async def hear(wire: Wire, kind: str, **fields: Any) -> Frame:
    """The next frame of a kind with these fields; others are passed over."""
    while True:
        frame = await wire.recv()
        if frame["type"] == kind and all(frame.get(key) == value for key, value in fields.items()):
            return frame


async def ask(wire: Wire, **frame: Any) -> Frame:
    """Send a frame; its answer, or its refusal."""
    name = frame.get("id") or frame.get("conversation") or frame.get("answer")
    await wire.send(frame)
    while True:
        heard = await wire.recv()
        if heard.get("ref") == name:
            return heard


async def settle(wire: Wire) -> list[Frame]:
    """All that was sent to us before the answer to a `ping`."""
    frames: list[Frame] = []
    id = fresh("ping")
    await wire.send({"type": "ping", "id": id})
    while (frame := await wire.recv()) != {"type": "pong", "id": id}:
        frames.append(frame)
    return frames
