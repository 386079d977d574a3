"""Readers of answers of their own, whose tokens are timed while harm is done elsewhere.

They are a process of their own, so that the test's own work is not measured as the server's.
"""

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from protocol.codec import JSON
from tests.load.asking import TOKEN, Reader, Tally
from tests.load.measures import quantile, script
from tests.load.peer import Heard, greeted
from tests.support.healthy import starved_s

ROOT = Path(__file__).parents[2]
ANSWER_S = 10.0  # an answer takes so long, and the next one follows
END_S = 30.0


class Stretch(Struct, frozen=True):
    """How their tokens came during one stretch of time."""

    tokens: int
    late_p99_ms: float  # after the script was due to give them
    gap_p99_ms: float  # between two chunks of an answer


class Report(Struct, frozen=True):
    """How it went, by the names of the stretches."""

    stretches: dict[str, Stretch]
    errors: dict[str, int]


class Onlookers:
    """The readers, seen from the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, stretch: str) -> None:
        """From here on tokens belong to it; one of that name goes on."""
        await self.tell(stretch)

    async def end(self) -> Report:
        """Leave, and say how it went."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(END_S):
            return msgspec.json.decode(await self._line(), type=Report)

    async def tell(self, line: str) -> None:
        """Until it was heard."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        assert await self._line() == b"heard\n"

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


@asynccontextmanager
async def onlookers(
    url: str, pid: int, tokens: Sequence[str], *, every_ms: float
) -> AsyncIterator[Onlookers]:
    """One for each of these credentials, at `ws://…` of the process; each has a token so often."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.onlookers", url, str(pid), str(every_ms)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        looking = Onlookers(process)
        await looking.tell(msgspec.json.encode(tokens).decode())
        yield looking
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


# ── the process ──────────────────────────────────────────────────────────────────────────────────


class Watch:
    """When tokens came, by the stretch in which they did."""

    def __init__(self, every_s: float, pid: int) -> None:
        self.every_s = every_s
        self._pid = pid
        self.stretch = ""
        self.late: defaultdict[str, list[float]] = defaultdict(list)
        self.gaps: defaultdict[str, list[float]] = defaultdict(list)
        self.tally = Tally()

    def of_server(self) -> float:
        """The seconds that the server could use."""
        return time.monotonic() - starved_s(self._pid)

    def report(self) -> Report:
        """Of all stretches."""
        stretches = {
            name: Stretch(
                len(late), quantile(late, 0.99) * 1000, quantile(self.gaps[name], 0.99) * 1000
            )
            for name, late in self.late.items()
        }
        return Report(stretches, dict(self.tally.errors))


class Answer:
    """An answer as it comes: when its script began is known by its quickest token."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._came: list[tuple[float, str]] = []  # of each token, with its stretch
        self._last: float | None = None

    def follow(self, reader: Reader) -> None:
        """The reader's answers, one after the other."""
        again = reader.on_complete

        def ended(complete: Heard) -> None:
            self.over()
            again(complete)

        reader.on_token, reader.on_complete = self._heard, ended

    def _heard(self, chunk: Heard) -> None:
        now, stretch = self._watch.of_server(), self._watch.stretch
        self._came += [(time.monotonic(), stretch)] * (len(chunk.text) // len(TOKEN))
        if self._last is not None:
            self._watch.gaps[stretch].append(now - self._last)
        self._last = now

    def over(self) -> None:
        """No more of it."""
        every_s = self._watch.every_s
        after = [now - number * every_s for number, (now, _) in enumerate(self._came)]
        for moment, (_, stretch) in zip(after, self._came, strict=True):
            self._watch.late[stretch].append(moment - min(after))
        self._came, self._last = [], None


async def look(url: str, pid: int, every_ms: float) -> None:
    """Ask for one answer after the other until nothing is to be read from who started it."""
    with suppress(PermissionError):
        os.nice(-10)  # its own waiting for a processor would be measured as the server's
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tokens: list[str] = msgspec.json.decode(await lines.readline())
    watch = Watch(every_ms / 1000, pid)
    content = script(round(ANSWER_S / watch.every_s), every_ms)
    answers = [Answer(watch) for _ in tokens]
    for number, (token, answer) in enumerate(zip(tokens, answers, strict=True)):
        reader = Reader(await greeted(url, JSON, token), watch.tally, content)
        answer.follow(reader)
        # They end one after the other, and not all in the same stretch.
        loop.call_later(ANSWER_S * number / len(tokens), reader.ask)
    await asyncio.sleep(ANSWER_S)
    say(b"heard")
    while line := await lines.readline():
        watch.stretch = line.decode().strip()
        say(b"heard")
    for answer in answers:
        answer.over()
    say(msgspec.json.encode(watch.report()))


def say(line: bytes) -> None:
    """To who started it."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(look(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
