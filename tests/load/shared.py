"""What any number of instances share, and what they ask of it: one PostgreSQL and one Redis.

Both run beside the generator, not on the core of what is tested.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.load.subjects import ROOT, cpu_s
from tests.support.databases import database_factory
from tests.support.services import Postgres, Redis

# A script's own calls are counted by Redis too, but nobody sends them: those it names, and the two
# commands for publishing, of which it is told one.
_CALLED = re.compile(r"redis\.p?call\(['\"](\w+)")
_PUBLISHING = {"publish", "spublish"}


class Shared(Struct, frozen=True):
    """A running PostgreSQL and Redis."""

    fresh_database: Callable[[], str]
    redis: Redis

    def env(self) -> dict[str, str]:
        """Settings of instances that have a new, empty installation in common."""
        self.redis.ask("FLUSHALL")
        return {
            "DATABASE_URL": self.fresh_database(),
            "REDIS_URL": self.redis.url(),
            "PARLEY_JWT_SECRET": secrets.token_hex(32),
        }

    def sent(self) -> int:
        """Commands that Redis was sent so far, without those that scripts call."""
        return sent(self.redis.ask("INFO", "commandstats"), _inside())

    def redis_cpu_s(self) -> float:
        """Seconds of processor time that Redis used so far."""
        return cpu_s(self.redis.pid)


def sent(stats: Mapping[str, Mapping[str, int]], inside: set[str]) -> int:
    """The calls of all commands but those `inside` of scripts."""
    return sum(
        int(each["calls"])
        for name, each in stats.items()
        if name.removeprefix("cmdstat_") not in inside
    )


def _inside() -> set[str]:
    """XRANGE is sent as well as called; all of it counts as sent, so the figure is not too low."""
    scripts = (path.read_text() for path in Path(ROOT, "storage/redis/lua").glob("*.lua"))
    called = {name.lower() for text in scripts for name in _CALLED.findall(text)}
    return (called | _PUBLISHING) - {"xrange"}


@contextmanager
def postgres() -> Iterator[Callable[[], str]]:
    """What makes databases on the PostgreSQL that was lent, or on one of our own."""
    lent = os.environ.get("TEST_DATABASE_URL")
    if lent is not None:
        with database_factory(lent, lent=True) as fresh:
            yield fresh
        return
    with Postgres() as server, database_factory(server.url(), lent=False) as fresh:
        yield fresh


@contextmanager
def shared() -> Iterator[Shared]:
    """Both services, for as long as it takes; `ProgramMissing` where one is not installed."""
    with postgres() as fresh, Redis() as redis:
        yield Shared(fresh, redis)
