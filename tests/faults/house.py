"""A server that is killed and started again, and what everybody who waits for it learns."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from jose import jwt  # type: ignore[import-untyped]

from tests.faults.checker import judge
from tests.faults.device import PATIENCE_S, Cut, Device
from tests.faults.view import Frame
from tests.support.parley import Parley, StartFailed

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


class House:
    """A data folder, at most one server that lives in it, and the devices that ever came."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.parley = Parley(folder, **{**SETTINGS, **settings})
        self.life = 0
        self.url = ""
        self.pid = 0
        self.devices: list[Device] = []
        self.died_starting = 0
        self._serves = asyncio.Condition()

    async def start(self, fail_at: str | None = None) -> None:
        """Begin a life. With a failpoint it may end while it begins, and the next one begins."""
        variables = {} if fail_at is None else {"FAIL_AT": fail_at}
        try:
            serving = await asyncio.to_thread(self.parley.start, **variables)
        except StartFailed:
            if fail_at is None:
                raise
            self.died_starting += 1
            return await self.start()
        async with self._serves:
            self.life, self.url, self.pid = self.life + 1, serving.url, serving.pid
            self._serves.notify_all()
        return None

    async def ended(self) -> int:
        """Wait for the end of this life; its exit status."""
        return await asyncio.to_thread(self.parley.ended)

    async def kill(self) -> None:
        """End this life at once."""
        self.parley.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """End it in order; the exit status."""
        self.parley.send(signal.SIGTERM)
        return await self.ended()

    def device(self, user: str) -> Device:
        """A new device of a user, not connected yet."""
        device = Device(f"d{len(self.devices)}", user, token(user))
        self.devices.append(device)
        return device

    async def connect(self, device: Device) -> None:
        """To the server as it is now."""
        await device.connect(self.url, self.life)

    async def connected(self, user: str) -> Device:
        """A new device, greeted."""
        device = self.device(user)
        await self.connect(device)
        return device

    async def reconnect(self, device: Device) -> None:
        """To the next life that lets it, if it is cut off again meanwhile."""
        while True:
            async with self._serves:
                await self._serves.wait_for(lambda: self.life > device.life)
            try:
                return await self.connect(device)
            except Cut:
                pass

    async def at_rest(self, device: Device) -> None:
        """Until everything that it asked for was answered and has ended, over any lives."""
        while True:
            try:
                return await device.until(lambda: device.at_rest)
            except Cut:
                await self.reconnect(device)
            except TimeoutError:
                raise AssertionError(f"in life {self.life} hangs {device!r}") from None

    async def idle(self) -> None:
        """Until no answer is being made; parked ones are not."""
        async with asyncio.timeout(PATIENCE_S):
            while (await asyncio.to_thread(get, self.url, "/health"))["answers"]:
                pass

    async def check_reload(self) -> None:
        """A second device of each user is shown what the first one shows; nothing comes after."""
        for device in list(self.devices):
            again = await self.connected(device.user)
            for name in device.view.conversations:
                await again.ask({"type": "attach", "conversation": name, "history": 100})

    def judged(self) -> list[str]:
        """What the devices met and what the database says, as far as either breaks a promise."""
        return judge(self.devices, self.parley.data / "parley.db")


def get(url: str, path: str) -> Frame:
    """What the server says over HTTP."""
    with urlopen(url + path) as answer:
        found: Frame = json.load(answer)
        return found


@asynccontextmanager
async def house_in(folder: Path, **settings: str) -> AsyncIterator[House]:
    """A house whose server and devices are gone afterwards."""
    house = House(folder, **settings)
    try:
        yield house
    finally:
        for device in house.devices:
            await device.close()
        house.parley.kill()


def token(user: str) -> str:
    """As the host's own login would sign it."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": "parley",
        "aud": "parley",
        "sub": user,
        "iat": now,
        "exp": now + 3600,
        "jti": os.urandom(8).hex(),
    }
    return str(jwt.encode(claims, SECRET, algorithm="HS256"))
