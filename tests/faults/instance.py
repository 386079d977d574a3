"""One server of a town: a data folder, at most one process, and the lives it had."""

import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.chaos import Link
from tests.support.parley import Parley, StartFailed


class Lives:
    """All lives that servers of a town ever had, counted from 1."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = asyncio.Condition()


class Instance:
    """A server that is killed, frozen and started again. Devices come by its `door`, if any."""

    def __init__(self, folder: Path, lives: Lives, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.parley = Parley(folder, **settings)
        self.name = folder.name
        self.life = 0
        self.url = ""
        self.pid = 0
        self.serves = False  # as far as was noticed
        self.died_starting = 0
        self.door: Link | None = None
        self.variables: dict[str, str] = {}  # of its environment, from its next life on
        self._lives = lives

    def __repr__(self) -> str:
        return f"{self.name} in life {self.life}"

    async def start(self, fail_at: str | None = None) -> None:
        """Begin a life. With a failpoint it may end while it begins, and the next one begins."""
        variables = dict(self.variables)
        if fail_at is not None:
            variables["FAIL_AT"] = fail_at
        try:
            serving = await asyncio.to_thread(self.parley.start, **variables)
        except StartFailed:
            if fail_at is None:
                raise
            self.died_starting += 1
            return await self.start()
        if self.door is not None:
            self.door.target = urlsplit(serving.url).port or 0
        async with self._lives.begun:
            self._lives.count += 1
            self.life, self.pid = self._lives.count, serving.pid
            port = self.door and self.door.port
            self.url = f"http://127.0.0.1:{port}" if port else serving.url
            self.serves = True
            self._lives.begun.notify_all()
        return None

    async def ended(self) -> int:
        """Wait for the end of this life; its exit status."""
        status = await asyncio.to_thread(self.parley.ended)
        self.serves = False
        return status

    async def kill(self) -> None:
        """End this life at once."""
        self.serves = False
        self.parley.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """End it in order; the exit status."""
        self.parley.send(signal.SIGTERM)
        return await self.ended()

    def freeze(self) -> None:
        """It does nothing, and closes nothing, until it thaws."""
        self.serves = False
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if no time had passed."""
        os.kill(self.pid, signal.SIGCONT)
        self.serves = True
