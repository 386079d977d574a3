"""Uniquely named databases on a PostgreSQL server, made from synchronous or asynchronous tests."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from os import getpid
from urllib.parse import urlsplit

import asyncpg

_numbers = count(1)


class DatabaseFactory:
    """Makes databases on the server, or behind the pooler, that `url` leads to."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []

    def __call__(self) -> str:
        """The URL of a new, empty database."""
        name = f"parley_test_{getpid()}_{next(_numbers)}"
        _run(_execute(self._url, f'CREATE DATABASE "{name}"'))
        self._made.append(name)
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def drop_all(self) -> None:
        for name in self._made:
            # FORCE: a pooler keeps idle connections to it.
            _run(_execute(self._url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@contextmanager
def database_factory(url: str, *, lent: bool) -> Iterator[DatabaseFactory]:
    """A factory; on a `lent` server it drops at the end what it made."""
    factory = DatabaseFactory(url)
    try:
        yield factory
    finally:
        if lent:
            factory.drop_all()


async def _execute(url: str, statement: str) -> None:
    # A transaction pooler does not keep prepared statements.
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _run(work: Coroutine[object, object, None]) -> None:
    """In a thread of its own, because a test's loop may be running in this one."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, work).result()
