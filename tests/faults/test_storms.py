"""Thousands who come at once, as when a proxy has dropped them: they are let in at a rate."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import LONG
from tests.faults.house import House, house_in
from tests.faults.instance import Instance
from tests.faults.onlookers import onlookers
from tests.faults.plans import script
from tests.faults.town import before, token, town_in
from tests.load.measures import prepare_conversations
from tests.load.returning import Crowd, Place
from tests.support import tally
from tests.support.lateness import within
from tests.support.rawsocket import RawSocket, error_of, request
from tests.support.services import Redis

pytestmark = [pytest.mark.alone, pytest.mark.row(26)]

CLIENTS = 1500 if LONG else 600
PER_S = 80  # far less than the clients of a busy machine try
STREAMING = 10  # fewer than may come in at once
BACK_S = 30.0
AT_ONCE = 200  # handshakes under way, so that a test needs no more files than it may open

DROPPED, STORMS = (1000, 5) if LONG else (150, 1)
ONLOOKERS = 10
EVERY_MS = 20.0
CALM_S = 10.0 if LONG else 1.0
ADMISSION = {"PARLEY_LIMITS_HANDSHAKES_PER_S": "1000"}  # the default
STARTS = (196608).to_bytes(4)  # the version in PostgreSQL's first message


class Storm:
    """Clients without jitter: each tries again in the second that it is told, until it is in."""

    def __init__(self, house: House) -> None:
        self.statuses = Counter[int]()
        self.told = Counter[int]()
        self._port = urlsplit(house.url).port or 0
        self._places = asyncio.Semaphore(AT_ONCE)

    async def rage(self) -> None:
        """Until all were in."""
        async with asyncio.timeout(BACK_S), asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._come())

    async def _come(self) -> None:
        wait = await self._try()
        if wait:
            await asyncio.sleep(wait)
            await self._come()

    async def _try(self) -> int:
        """In how many seconds to come back; 0: it was in."""
        async with self._places, await RawSocket.connect(self._port) as raw:
            await raw.send(request())
            response = await raw.response()
        self.statuses[response.status] += 1
        if response.status == 101:
            return 0
        assert error_of(response) == (503, "overloaded")
        wait = int(response.headers["retry-after"])
        assert wait >= 1
        self.told[wait] += 1
        return wait


async def test_a_storm_is_let_in_at_a_rate_and_whoever_is_in_reads_on(tmp_path: Path) -> None:
    """All are in within half a minute; the refused are told different seconds."""
    async with house_in(tmp_path, PARLEY_LIMITS_HANDSHAKES_PER_S=str(PER_S)) as house:
        await house.start()
        devices = [await house.connected(f"u{number}") for number in range(STREAMING)]
        answer = {"type": "chat", "content": script(" word", 400, every_ms=10)}
        for device in devices:
            await device.ask(answer)
        storm, began = Storm(house), time.monotonic()
        await storm.rage()
        took = time.monotonic() - began
        for device in devices:
            await house.at_rest(device)
            assert device.life == 1
            assert device.closes == []
        said = f"{CLIENTS} came, in within {took:.1f} s, {storm.statuses[503]} told to come later"
        tally.count(CLIENTS, said=said)
        assert storm.statuses.keys() == {101, 503}
        assert storm.statuses[101] == CLIENTS
        assert len(storm.told) > 1
        await house.check_reload()
        assert await house.stop() == 0
        assert house.judged() == []


class Statements:
    """What is asked of PostgreSQL over a link, by how often."""

    def __init__(self) -> None:
        self.counts = Counter[bytes]()

    def of_connection(self) -> "Asked":
        """What is asked on one of its connections."""
        return Asked(self.counts)

    def each(self, of: int) -> int:
        """How many statements were made by each of so many; what else goes on is rarer."""
        return sum(round(count / of) for count in self.counts.values())


class Asked:
    """One connection's bytes: a statement counts when it is bound, or asked as it is."""

    def __init__(self, counts: Counter[bytes]) -> None:
        self._counts = counts
        self._named: dict[bytes, bytes] = {}
        self._begun = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """All goes on as it came."""
        self._rest += data
        while 0 < (size := self._size()) <= len(self._rest):
            self._message(self._rest[:1], self._rest[5:size])
            self._begun = self._begun or self._rest[4:8] == STARTS
            self._rest = self._rest[size:]
        return data

    def rest(self) -> bytes:
        """Nothing was held back."""
        return b""

    def _size(self) -> int:
        """Of the next message, which has a letter in front once the connection has begun."""
        length = self._rest[1:5] if self._begun else self._rest[:4]
        return int.from_bytes(length) + self._begun if len(length) == 4 else 0

    def _message(self, kind: bytes, body: bytes) -> None:
        match kind if self._begun else None:
            case b"P":
                name, sql, _ = body.split(b"\0", 2)
                self._named[name] = sql
            case b"B":
                self._counts[self._named[body.split(b"\0", 2)[1]]] += 1
            case b"Q":
                self._counts[body] += 1


class By(Place):
    """The way to a server."""

    def __init__(self, instance: Instance) -> None:
        self.url = f"{instance.url.replace('http', 'ws', 1)}/ws"

    def token(self, user: str) -> str:
        """As the host's own login would sign it."""
        return token(user)


async def test_all_who_were_dropped_are_level_again_and_who_was_not_reads_on(
    tmp_path: Path, database: str, fresh_redis: Redis
) -> None:
    """Within half a minute, by one statement at most each; running answers hardly stutter."""
    users, others = [f"u{n}" for n in range(DROPPED)], [token(f"o{n}") for n in range(ONLOOKERS)]
    conversations = await prepare_conversations(database, users)
    statements, back = Statements(), list[float]()
    async with (
        town_in(tmp_path, database, fresh_redis.url(), names=["ada"], **ADMISSION) as town,
        before(town.instances[0], DATABASE_URL=database) as link,
    ):
        link.up.filter = statements.of_connection
        await town.start_all()
        way = By(town.instances[0])
        crowd, gate = Crowd(way), asyncio.Semaphore(AT_ONCE // 10)
        left = await asyncio.gather(
            *(crowd.enter(*each, gate) for each in zip(users, conversations, strict=True))
        )
        async with onlookers(way.url, town.instances[0].pid, others, every_ms=EVERY_MS) as looking:
            for _ in range(STORMS):
                await looking.begin("calm")
                await asyncio.sleep(CALM_S)
                await looking.begin("storm")
                statements.counts.clear()
                began = time.monotonic()
                crowd.cut()
                async with asyncio.timeout(BACK_S):
                    await asyncio.gather(*(crowd.come_back(each) for each in left))
                back.append(time.monotonic() - began)
                assert statements.each(of=DROPPED) <= 1, statements.counts.most_common(5)
            report = await looking.end()
        crowd.cut()
        assert await town.stop_all() == [0]
    calm, storm = report.stretches["calm"], report.stretches["storm"]
    said = (
        f"{DROPPED} dropped, back in {max(back):.1f} s, {crowd.refused} told to come later;"
        f" between chunks {calm.gap_p99_ms:.0f} ms, meanwhile {storm.gap_p99_ms:.0f} ms"
    )
    tally.count(DROPPED * STORMS, said=said)
    assert crowd.snapshots == 0
    assert report.errors.keys() <= {"overloaded"}  # of what they asked for meanwhile
    if LONG:  # a short storm has few chunks
        within(storm.gap_p99_ms, 2 * calm.gap_p99_ms, "between chunks, p99 in ms")
