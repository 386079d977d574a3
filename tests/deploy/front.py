"""Instances behind the proxy, as people reach them: by the proxy's address alone."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.faults.device import Device
from tests.faults.town import SETTINGS, token
from tests.faults.view import Frame
from tests.support.nginx import Nginx
from tests.support.parley import Parley
from tests.support.services import LOOPBACK, free_port

# As docker-compose.yml has it, but for the addresses.
PUBLIC = {
    **SETTINGS,
    "PARLEY_ENV": "production",
    "PARLEY_JWT_ISSUER": "parley",
    "PARLEY_JWT_AUDIENCE": "parley",
    "PARLEY_TRUSTED_PROXIES": LOOPBACK,
}


def databases(postgres: str, redis: str) -> dict[str, str]:
    """What instances share; on a Redis that others use too, they have their own names."""
    own = f"test-{secrets.token_hex(6)}"
    return {"DATABASE_URL": postgres, "REDIS_URL": redis, "PARLEY_REDIS_PREFIX": own}


class Front:
    """Some instances by their names, and an nginx before them."""

    def __init__(self, folder: Path, *names: str, **settings: str) -> None:
        self.instances: dict[str, Parley] = {}
        self.ports: list[int] = []
        for name in names:
            self.ports.append(free_port())
            own = {"PARLEY_PORT": str(self.ports[-1]), "PARLEY_INSTANCE": name}
            (folder / name).mkdir(parents=True)
            self.instances[name] = Parley(folder / name, **{**PUBLIC, **settings, **own})
        self.nginx = Nginx(self.ports)
        self._devices: list[Device] = []

    @property
    def url(self) -> str:
        """Where people come."""
        return self.nginx.url

    async def connected(self, user: str, instance: str | None = None) -> Device:
        """A device that was let in, by that instance if one is named."""
        while True:
            device = Device(f"d{len(self._devices)}", user, token(user))
            self._devices.append(device)
            await device.connect(self.url)
            if instance in (None, host_of(device)):
                return device
            await device.close()

    @asynccontextmanager
    async def visited(self) -> AsyncIterator[Self]:
        """For the devices of one test."""
        try:
            yield self
        finally:
            for device in self._devices:
                await device.close()


@contextmanager
def front_in(folder: Path, *names: str, **settings: str) -> Iterator[Front]:
    """A front whose instances serve; they are gone afterwards."""
    front = Front(folder, *names, **settings)
    with ExitStack() as stack:
        for instance in front.instances.values():
            stack.callback(instance.kill)
            instance.start()
        stack.enter_context(front.nginx)
        yield front


def host_of(device: Device) -> str:
    """The instance that let a device in."""
    [welcome] = [frame for frame in device.heard if frame["type"] == "welcome"]
    return str(welcome["server"]["instance"])


async def ask(device: Device, content: str) -> Frame:
    """A message that is acknowledged."""
    ack = await device.ask({"type": "chat", "content": content})
    assert ack["type"] == "ack", ack
    return ack


async def stored(device: Device, ack: Frame) -> str:
    """An answer's text as it is kept."""
    page = await device.ask({"type": "history", "conversation": ack["conversation"]})
    [text] = [row["content"] for row in page["messages"] if row["id"] == ack["answer"]]
    return str(text)


def lines(log: Path) -> list[dict[str, Any]]:
    """What was logged, one object per line; words for people are passed over."""
    whole = log.read_text().splitlines()
    return [json.loads(line) for line in whole if line.startswith("{") and line.endswith("}")]
