"""A town of one server, with a database of its own in its folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults import tables
from tests.faults.instance import Instance, Lives
from tests.faults.town import SETTINGS, Town
from tests.support.parley import Parley


class House(Town):
    """A data folder, at most one server that lives in it, and the devices that ever came."""

    def __init__(self, folder: Path, **settings: str) -> None:
        lives = Lives()
        self.instance = Instance(folder, lives, **{**SETTINGS, **settings})
        file = self.parley.data / "parley.db"
        super().__init__(lives, [self.instance], lambda: tables.of_sqlite(file))

    @property
    def parley(self) -> Parley:
        """Its folder and its process."""
        return self.instance.parley

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.instance.url

    @property
    def pid(self) -> int:
        """The process of now."""
        return self.instance.pid

    @property
    def life(self) -> int:
        """How many it had."""
        return self.instance.life

    @property
    def died_starting(self) -> int:
        """How many lives ended before they served."""
        return self.instance.died_starting

    async def start(self, fail_at: str | None = None) -> None:
        """Begin a life; a failpoint may end it."""
        await self.instance.start(fail_at)

    async def ended(self) -> int:
        """Wait for the end of this life; its exit status."""
        return await self.instance.ended()

    async def kill(self) -> None:
        """End this life at once."""
        await self.instance.kill()

    async def stop(self) -> int:
        """End it in order; the exit status."""
        return await self.instance.stop()


@asynccontextmanager
async def house_in(folder: Path, **settings: str) -> AsyncIterator[House]:
    """A house whose server and devices are gone afterwards."""
    house = House(folder, **settings)
    try:
        yield house
    finally:
        await house.close()
