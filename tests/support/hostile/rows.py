"""All rows of a server at once, and what came of each."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec import Struct

from tests.support.hostile.credentials import credential
from tests.support.hostile.crowds import crowd
from tests.support.hostile.frames import frames
from tests.support.hostile.handshakes import handshake
from tests.support.hostile.judging import Wrong
from tests.support.hostile.lives import life
from tests.support.hostile.server import Server
from tests.support.vectors import Row, messages, part_bytes

AT_ONCE = 3  # rows that are done at the same time; those that mostly wait are not counted
HEAVY_BYTES = 4 * 1024  # sent at once, from which on a message or a flood takes the server time
Play = Callable[[Server, Row], Awaitable[None]]


class Verdict(Struct, frozen=True):
    """What came of a row: None, or what the server did instead; and when, in wall time."""

    wrong: str | None
    began: float
    ended: float


def key_of(row: Row) -> str:
    """What names a row."""
    encoding = f" ({row['encoding']})" if "encoding" in row else ""
    return f"{row['class']} {row['name']}{encoding}"


def server_of(row: Row) -> str:
    """Which server it needs."""
    return str(row.get("server", "usual"))


async def attack(server: Server, rows: Iterable[Row]) -> dict[str, Verdict]:
    """Do the rows."""
    await server.populate()
    verdicts: dict[str, Verdict] = {}
    quick = asyncio.Semaphore(AT_ONCE)
    heavy = asyncio.Lock()  # two of them at once would be a case of its own
    crowds = asyncio.Lock()  # each counts all sockets there are

    def room_for(row: Row) -> AbstractAsyncContextManager[object]:
        if "crowd" in row:
            return crowds
        if {"behaviour", "pace"} & row.keys() or row["class"] == "H1":
            return nullcontext()
        return heavy if _size(row) >= HEAVY_BYTES else quick

    async def done(row: Row) -> None:
        async with room_for(row):
            verdicts[key_of(row)] = await _verdict(server, row)

    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(done(row))
    return verdicts


def _size(row: Row) -> int:
    """How much it sends at once, about."""
    if "wire" in row:
        return sum(len(part_bytes(piece)) for piece in row["wire"])
    if "script" in row:
        return 0
    sent = list(messages(row)) if row["layer"] in ("codec", "session", "server") else []
    return max((len(message) for _, message in sent), default=0) * int(row.get("times", 1))


async def _verdict(server: Server, row: Row) -> Verdict:
    began, wrong = time.time(), None
    try:
        await play_of(row)(server, row)
    except Wrong as said:
        wrong = str(said)
    except Exception:  # noqa: BLE001 - whatever happens to one row, the others are done
        wrong = traceback.format_exc(limit=-4)
    return Verdict(wrong, began, time.time())


def play_of(row: Row) -> Play:
    """How a row is done."""
    if "behaviour" in row:
        return life
    return _PLAYS.get(row["layer"], frames)


_PLAYS: dict[str, Play] = {
    "handshake": handshake,
    "credentials": credential,
    "admission": crowd,
}
