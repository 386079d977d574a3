"""The private services that other tests stand on."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis

from tests.support.redises import Failover, RedisCluster
from tests.support.services import Pgbouncer, Postgres, Redis, Service, sweep

ROOT = Path(__file__).parents[1]


async def ask(url: str, query: str = "SELECT current_database()") -> object:
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def ping(url: str) -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 6379), 5.0) as peer:
        peer.sendall(b"PING\r\n")
        return peer.recv(64)


async def test_postgresql_answers_in_a_fresh_database(fresh_postgres: Callable[[], str]) -> None:
    """Two calls give two databases, each its own."""
    first, second = fresh_postgres(), fresh_postgres()
    assert first != second
    assert f"/{await ask(first)}" == urlsplit(first).path
    assert f"/{await ask(second)}" == urlsplit(second).path


async def test_postgresql_answers_through_the_pooler(fresh_pgbouncer: Callable[[], str]) -> None:
    """A database made through the pooler is reached through it."""
    url = fresh_pgbouncer()
    assert f"/{await ask(url)}" == urlsplit(url).path


async def test_the_pooler_shares_one_session_between_transactions(
    pgbouncer_server: Pgbouncer,
) -> None:
    """Transaction mode: two clients, one after the other, are served by the same backend."""
    url = pgbouncer_server.url()
    query = "SELECT pg_backend_pid()"
    assert await ask(url, query) == await ask(url, query)


def test_redis_answers_ping(redis_url: str) -> None:
    """A raw PING gets its PONG."""
    assert ping(redis_url) == b"+PONG\r\n"


def test_a_cluster_serves_every_key_from_three_nodes(redis_cluster: RedisCluster) -> None:
    """A client that knows one node reaches all of them."""
    keys = [f"key-{n}" for n in range(50)]
    with redis.RedisCluster.from_url(redis_cluster.url()) as client:
        assert all(client.set(key, "x", px=60_000) for key in keys)
    served = {key: redis_cluster.node_of(key) for key in keys}
    assert {node.ask("GET", key) for key, node in served.items()} == {"x"}
    assert set(served.values()) == set(redis_cluster.nodes)


@pytest.mark.parametrize(("keep", "left"), [(True, "x"), (False, None)])
def test_redis_keeps_over_a_crash_what_it_was_told_to(keep: bool, left: str | None) -> None:
    """With its log on disk nothing it acknowledged is lost; without, everything is."""
    with Redis(keep=keep) as server:
        assert server.ask("SET", "key", "x")
        server.kill9()
        server.start()
        assert server.ask("GET", "key") == left


def test_a_full_redis_refuses_writes() -> None:
    """Its settings are those it was given."""
    with Redis(maxmemory="1", maxmemory_policy="noeviction") as server:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            server.ask("SET", "key", "x")
        server.ask("CONFIG", "SET", "maxmemory", "0")
        assert server.ask("SET", "key", "x")


def test_a_replica_takes_over_what_it_has_heard() -> None:
    """What the old primary took after they were parted is gone."""
    with Failover() as pair:
        pair.primary.ask("SET", "heard", "x")
        assert pair.primary.ask("WAIT", 1, 5000) == 1
        pair.promote()
        pair.replica.ask("SET", "unheard", "x")
        pair.replica.kill9()
        assert [pair.primary.ask("GET", key) for key in ("heard", "unheard")] == ["x", None]
        pair.replica.start()
        pair.demote()
        assert pair.replica.ask("GET", "unheard") is None


@pytest.mark.parametrize(("durable", "fsync"), [(False, "off"), (True, "on")])
async def test_postgresql_syncs_only_when_asked_to(durable: bool, fsync: str) -> None:
    """Durability tests start a server that syncs."""
    with Postgres(durable=durable) as server:
        assert await ask(server.url(), "SHOW fsync") == fsync


async def test_postgresql_keeps_its_data_and_port_over_a_crash_and_a_restart() -> None:
    """What was committed is there after kill -9 and after an orderly restart, at the same URL."""
    with Postgres() as server:
        await ask(server.url(), "CREATE TABLE kept AS SELECT 7 AS n")
        server.kill9()
        with pytest.raises(ConnectionRefusedError):
            await ask(server.url())
        server.start()
        assert await ask(server.url(), "SELECT n FROM kept") == 7
        server.restart()
        assert await ask(server.url(), "SELECT n FROM kept") == 7


def test_a_frozen_service_accepts_and_stays_silent_until_it_thaws() -> None:
    """stop_cont is a hang, not a crash: the connection opens, the answer comes after the block."""
    with Redis() as server, socket.socket() as peer:
        with server.stop_cont():
            peer.settimeout(0.1)
            peer.connect(("127.0.0.1", server.port))
            peer.sendall(b"PING\r\n")
            with pytest.raises(TimeoutError):
                peer.recv(64)
        peer.settimeout(5.0)
        assert peer.recv(64) == b"+PONG\r\n"


@pytest.mark.parametrize("kind", [Postgres, Redis])
def test_a_closed_service_leaves_nothing_behind(kind: Callable[[], Service]) -> None:
    """Neither its process nor its folder outlives the block."""
    with kind() as server:
        pid, folder = server.pid, server.folder
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


def test_services_die_with_tests_that_are_killed() -> None:
    """kill -9 of the test process takes its PostgreSQL along; a later run removes the folder."""
    program = (
        "from tests.support.services import Postgres\n"
        "import sys\n"
        "with Postgres() as server:\n"
        "    print(server.pid, server.folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().decode().split()
        server = os.pidfd_open(int(pid))
        owner.send_signal(signal.SIGKILL)
    readable, _, _ = select.select([server], [], [], 10.0)  # a pidfd is, once its process ended
    os.close(server)
    assert readable
    sweep()
    assert not Path(folder).exists()
