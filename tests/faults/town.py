"""Several servers over one database, the devices that go from one to the other, and all faults."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from jose import jwt  # type: ignore[import-untyped]

from tests.faults import tables
from tests.faults.checker import Reloaded, judge
from tests.faults.device import AGAIN_S, PATIENCE_S, Cut, Device
from tests.faults.instance import Instance, Lives
from tests.faults.tables import Tables
from tests.faults.view import Frame
from tests.support.chaos import How, Link, chaos

HOUR = 3600
AT_ONCE = 100  # handshakes that a server takes in without a word, also on a slow machine
SECRET = "for tests of faults, a secret with more than 32 characters"
SETTINGS = {
    "PARLEY_SCRIPTED": "1",
    "PARLEY_MODEL": "scripted",
    "PARLEY_JWT_SECRET": SECRET,
    "PARLEY_LIMITS_MESSAGES_PER_MINUTE": "1000000",
    "PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": "1000000",
    "PARLEY_LIMITS_HANDSHAKES_BURST": "100000",
    "PARLEY_LIMITS_HANDSHAKES_PER_S": "100000",
}


class Town:
    """Servers that are one to their devices, which come back through any of them."""

    def __init__(self, lives: Lives, instances: Sequence[Instance], stored: Callable[[], Tables]):
        """`stored` reads the database when all is over."""
        self.lives = lives
        self.instances = instances
        self.devices: list[Device] = []
        self.closes = {1006, 1012}  # the codes with which servers may close sockets
        self._at: dict[Device, Instance] = {}
        self._reloaded: list[Reloaded] = []
        self._stored = stored
        self._chance = random.Random(0)

    # ── servers ──────────────────────────────────────────────────────────────────────────────────

    async def start_all(self) -> None:
        """All servers at once, but for the first, which brings the database up to date."""
        first, *others = self.instances
        await first.start()
        await asyncio.gather(*(each.start() for each in others))

    async def stop_all(self) -> list[int]:
        """All that serve, in order; how they ended."""
        return await asyncio.gather(*(each.stop() for each in self.instances if each.serves))

    async def idle(self) -> None:
        """Until no answer is being made; parked ones are not."""
        async with asyncio.timeout(PATIENCE_S):
            for each in self.instances:
                while each.serves and await asyncio.to_thread(answers_at, each.url) > 0:
                    pass

    # ── devices ──────────────────────────────────────────────────────────────────────────────────

    def device(self, user: str) -> Device:
        """A new device of a user, not connected yet."""
        device = Device(f"d{len(self.devices)}", user, token(user))
        self.devices.append(device)
        return device

    async def connect(self, device: Device, to: Instance | None = None) -> None:
        """To that server, or to another one than the last time, if one serves."""
        to = to or self._other(device)
        self._at[device] = to
        await device.connect(to.url, to.life)

    async def connected(self, user: str, to: Instance | None = None) -> Device:
        """A new device, greeted."""
        device = self.device(user)
        await self.connect(device, to)
        return device

    async def all_connected(self, count: int, to: Instance | None = None) -> list[Device]:
        """A new device of each of so many users; with more at once some would be refused."""
        devices: list[Device] = []
        while len(devices) < count:
            users = range(len(devices), min(len(devices) + AT_ONCE, count))
            devices += await asyncio.gather(*(self.connected(f"u{n}", to) for n in users))
        return devices

    async def reconnect(self, device: Device) -> None:
        """To any server that lets it, and again if it is cut off meanwhile."""
        while True:
            async with self.lives.begun:
                await self.lives.begun.wait_for(self._serving)
            try:
                return await self.connect(device)
            except Cut:
                await asyncio.sleep(AGAIN_S)

    def at(self, instance: Instance) -> list[Device]:
        """The devices that are connected there."""
        return [d for d, at in self._at.items() if at is instance and d.connected]

    def leave(self, instance: Instance) -> None:
        """All its devices lose patience with it."""
        for device in self.at(instance):
            device.drop(How.RST)

    async def at_rest(self, device: Device) -> None:
        """Until everything that it asked for was answered and has ended, over any lives."""
        while True:
            try:
                return await device.until(lambda: device.at_rest)
            except Cut:
                await self.reconnect(device)
            except TimeoutError:
                raise AssertionError(f"in life {device.life} hangs {device!r}") from None

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    async def check_reload(self) -> None:
        """A second device of each user asks for all that the first one shows, to its beginning."""
        for device in list(self.devices):
            again = await self.connected(device.user)
            for name in device.view.conversations:
                self._reloaded.append((name, await _whole(again, name)))

    async def over(self) -> list[str]:
        """The end of all: everybody looks once more and leaves, the servers end, and it is judged.

        Who is frozen or dead by then is not asked for anything.
        """
        await self.check_reload()
        for device in self.devices:
            await device.close()
        statuses = await self.stop_all()
        return [f"a server ended with {status}" for status in statuses if status] + self.judged()

    def judged(self) -> list[str]:
        """What the devices met and what the database says, as far as either breaks a promise."""
        return judge(self.devices, self._stored(), self.closes, self._reloaded)

    async def close(self) -> None:
        """Nothing of it is left."""
        for device in self.devices:
            await device.close()
        for each in self.instances:
            each.parley.kill()

    def _serving(self) -> list[Instance]:
        return [each for each in self.instances if each.serves]

    def _other(self, device: Device) -> Instance:
        serving = self._serving() or list(self.instances)
        others = [each for each in serving if each is not self._at.get(device)]
        return self._chance.choice(others or serving)


async def _whole(device: Device, conversation: str) -> Sequence[Frame]:
    """All messages on the branch that is shown, oldest first."""
    page = await device.ask({"type": "attach", "conversation": conversation, "history": 100})
    messages: list[Frame] = page["messages"]
    while page["more"]:
        older = {"type": "history", "conversation": conversation, "before": messages[0]["id"]}
        page = await device.ask({**older, "limit": 100})
        messages = [*page["messages"], *messages]
    return messages


@asynccontextmanager
async def town_in(
    folder: Path,
    database: str,
    redis: str | None = None,
    *,
    names: Sequence[str] = ("ada", "bob"),
    **settings: str,
) -> AsyncIterator[Town]:
    """A town whose servers and devices are gone afterwards. Nobody serves yet."""
    lives = Lives()
    named = {**SETTINGS, "DATABASE_URL": database, **settings}
    if redis is not None:
        named["REDIS_URL"] = redis
    instances = [
        Instance(folder / name, lives, **{**named, "PARLEY_INSTANCE": name}) for name in names
    ]
    town = Town(lives, instances, lambda: tables.of_postgres(database))
    try:
        yield town
    finally:
        await town.close()


@asynccontextmanager
async def before(instance: Instance, **service: str) -> AsyncIterator[Link]:
    """The link from a server to what this setting leads to, from its next life on."""
    [(setting, url)] = service.items()
    parts = urlsplit(url)
    async with chaos(parts.port or 0) as link:
        address = f"{parts.netloc.rpartition(':')[0]}:{link.port}"
        instance.parley.set(**{setting: parts._replace(netloc=address).geturl()})
        yield link


@asynccontextmanager
async def door(instance: Instance) -> AsyncIterator[Link]:
    """The link from devices to a server, from its next life on."""
    async with chaos(0) as link:
        instance.door = link
        yield link


def answers_at(url: str) -> int:
    """How many answers are being made there."""
    return int(get(url, "/health")["answers"])


def get(url: str, path: str) -> Frame:
    """What the server says over HTTP."""
    with urlopen(url + path) as answer:
        found: Frame = json.load(answer)
        return found


def token(user: str) -> str:
    """As the host's own login would sign it; good also where a clock is an hour wrong."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "parley",
        "aud": "parley",
        "sub": user,
        "iat": now - 2 * HOUR,
        "exp": now + 2 * HOUR,
        "jti": os.urandom(8).hex(),
    }
    return str(jwt.encode(claims, SECRET, algorithm="HS256"))
