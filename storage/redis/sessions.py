"""Who is connected where, on Redis.

Each lease has a hash of its own in each of a few buckets: a person's field says how many sessions
they have there, and which. What an instance told expires with it, so nobody has to clear it away.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

import msgspec

from storage.redis.link import Argument, Link
from storage.redis.scripts import Script
from storage.sessions import LEASE_MS, Page, Seat, Session
from storage.values import Owner

BUCKETS = 8  # in a Cluster; what one call touches lies in one of them
STAY_MS = 60_000  # far longer than a lease: what is put is not renewed with each
STAY_RENEWED_S = STAY_MS / 3 / 1000

_PUT = Script("seats_put")
_KEEP = Script("seats_keep")
_OF = Script("seats_of")

_encode = msgspec.json.Encoder().encode
_sessions = msgspec.json.Decoder(list[Session]).decode
_name = msgspec.json.Decoder(tuple[str, str]).decode
_word = msgspec.json.Decoder(tuple[str, int]).decode


class RedisSeats:
    """See `storage.sessions.Seats`."""

    def __init__(
        self, link: Link, instance: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._instance = instance
        self._clock = clock
        self._lease = secrets.token_hex(8)
        self._others: list[str] = []  # whose leases stood at the last look
        buckets = BUCKETS if link.cluster else 1
        self._persons: list[set[Owner]] = [set() for _ in range(buckets)]  # with seats here
        self._stays_until = 0.0  # what was put; then it is renewed
        self._leases = [link.names.of(kind, "seats") for kind in ("leases", "words")]

    async def put(self, here: Mapping[Owner, Sequence[Session]]) -> Mapping[Owner, int]:
        """See `Seats.put`."""
        groups: dict[int, list[Owner]] = {}
        for owner in here:
            groups.setdefault(self._bucket(owner), []).append(owner)
        results = await asyncio.gather(
            *[self._put(bucket, owners, here) for bucket, owners in groups.items()]
        )
        counts: dict[Owner, int] = {}
        for owners, (_, *counted) in zip(groups.values(), results, strict=True):
            counts.update(zip(owners, counted, strict=True))
        return counts

    async def keep(self, sessions: int) -> bool:
        """See `Seats.keep`."""
        said = _encode([self._instance, sessions])
        standing = await self._renew(self._lease, LEASE_MS, said)
        self._others = [lease for lease in standing if lease != self._lease]
        if self._clock() < self._stays_until:
            return True
        due = self._clock() + STAY_RENEWED_S
        found = await asyncio.gather(
            *[self._put(bucket, (), {}) for bucket in range(len(self._persons))]
        )
        self._stays_until = due
        return [persons for persons, *_ in found] == [len(each) for each in self._persons]

    async def leave(self) -> None:
        """See `Seats.leave`."""
        await self._renew(self._lease, 0, b"")

    async def of(self, owner: Owner) -> Sequence[Seat]:
        """See `Seats.of`."""
        standing = await self._look()
        if not standing:
            return []
        keys = [self._key(lease, self._bucket(owner)) for lease in standing]
        found = await self._link.call(_OF, keys, [_named(owner)])
        return [
            Seat(owner, session, instance)
            for (instance, _), text in zip(standing.values(), found, strict=True)
            for session in _read(text)
        ]

    async def all(self, tenant: str, *, after: str | None = None, limit: int = 100) -> Page:
        """See `Seats.all`."""
        standing = await self._look()
        lease, bucket, at = (after or ".0.0").split(".")
        begin = (lease, int(bucket))
        buckets = range(len(self._persons))
        seats: list[Seat] = []
        for place in sorted((lease, bucket) for lease in standing for bucket in buckets):
            if place < begin:
                continue
            cursor, over = int(at) if place == begin else 0, False
            while not over:
                if len(seats) >= limit:
                    return Page(seats, f"{place[0]}.{place[1]}.{cursor}")
                cursor, found = await self._scan(place, cursor, limit)
                over = not cursor
                instance, _ = standing[place[0]]
                seats += [
                    Seat(owner, session, instance)
                    for owner, sessions in found
                    for session in sessions
                    if owner.tenant == tenant
                ]
        return Page(seats, None)

    async def instances(self) -> Mapping[str, int]:
        """See `Seats.instances`."""
        told = Counter[str]()
        for instance, sessions in (await self._look()).values():
            told[instance] += sessions
        return told

    def _bucket(self, owner: Owner) -> int:
        return crc32(_named(owner)) % len(self._persons)

    def _key(self, lease: str, bucket: int) -> str:
        return self._link.names.of(f"seats:{lease}", str(bucket))

    async def _put(
        self, bucket: int, owners: Sequence[Owner], here: Mapping[Owner, Sequence[Session]]
    ) -> Sequence[int]:
        keys = [self._key(lease, bucket) for lease in (self._lease, *self._others)]
        asked: list[Argument] = [STAY_MS]
        persons = self._persons[bucket]
        for owner in owners:
            sessions = here[owner]
            (persons.add if sessions else persons.discard)(owner)
            text = b"%d %s" % (len(sessions), _encode(sessions)) if sessions else b""
            asked += [_named(owner), text]
        counts: Sequence[int] = await self._link.call(_PUT, keys, asked)
        return counts

    async def _look(self) -> dict[str, tuple[str, int]]:
        return await self._renew("", 0, b"")

    async def _renew(self, lease: str, ms: int, said: bytes) -> dict[str, tuple[str, int]]:
        """All leases that stand, with the name of the instance and how many sessions it has."""
        found: list[bytes] = await self._link.call(_KEEP, self._leases, [lease, ms, said])
        pairs = zip(found[::2], found[1::2], strict=True)
        return {standing.decode(): _word(word) for standing, word in pairs}

    async def _scan(
        self, place: tuple[str, int], cursor: int, limit: int
    ) -> tuple[int, list[tuple[Owner, list[Session]]]]:
        key = self._key(*place)
        found: tuple[int, dict[bytes, bytes]] = await self._link.ask_about(
            key, "HSCAN", key, cursor, "COUNT", limit
        )
        return found[0], [(Owner(*_name(name)), _read(text)) for name, text in found[1].items()]


def _named(owner: Owner) -> bytes:
    return _encode([owner.tenant, owner.user])


def _read(text: bytes) -> list[Session]:
    return _sessions(text.partition(b" ")[2]) if text else []
