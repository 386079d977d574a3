"""Reading a stretch of a log: a short one by a script, a long one as Redis reads by itself.

A script copies what it reads into Lua and out again, which for a long stretch takes six times as
long as the reading, and Redis does nothing else meanwhile. So a long one is read first, and then a
script says whether the log was what its reader took it for. It was, if it is: an epoch has begun
before anybody has a position in it, never comes back, and what it has stored goes from below only.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from protocol.types import Position
from storage.log import Entry, Loss, Lost, Slice
from storage.redis.link import Link
from storage.redis.scripts import Script

READ = Script("read", shares="common")

SHORT = 50  # entries, which cost in a script what a second call costs

TIME_DIGITS = 13  # before each entry in its stream

_decode = msgspec.msgpack.Decoder(list[tuple[str, int, bytes]]).decode
_ARRAY = b"\xdd"  # what MessagePack begins an array with; its length follows in four bytes


async def read(link: Link, keys: Sequence[str], after: Position, limit: int) -> Slice | Lost:
    """See `EventLog.read`; the keys are those of the log and of its entries."""
    if limit <= SHORT:
        return _slice(await link.call(READ, keys, [after.epoch, after.seq, limit]))
    page = await link.ask_about(keys[1], "XRANGE", keys[1], f"({after.seq}-0", "+", "COUNT", limit)
    found = _slice(await link.call(READ, keys, [after.epoch, after.seq, 0]))
    if isinstance(found, Lost):
        return found
    # What was stored since then is not in the page, so its reader must not hear of it either.
    stood = found.head if len(page) == limit else after.seq + len(page)
    return Slice(_entries(page), stood, found.rows)


def _slice(found: Sequence[Any]) -> Slice | Lost:
    if not found[0]:
        return Slice(_entries(found[3]), found[1], found[2])
    loss, epoch, head, oldest = Loss(found[0].decode()), found[1].decode(), found[2], found[3]
    return Lost(loss, None if loss is Loss.NO_LOG else Position(epoch, head), oldest)


def _entries(page: Sequence[tuple[bytes, Sequence[bytes]]]) -> tuple[Entry, ...]:
    kept = [fields[1][TIME_DIGITS:] for _, fields in page]
    # All at once: whoever comes back may have missed thousands.
    read = _decode(_ARRAY + len(page).to_bytes(4) + b"".join(kept))
    return tuple([Entry(int(name[:-2]), *each) for (name, _), each in zip(page, read, strict=True)])
