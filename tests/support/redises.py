"""Several Redis processes that are one service: a cluster, or a primary with its replica."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from itertools import pairwise
from time import monotonic, sleep
from typing import Self

import redis

from tests.support.services import LOOPBACK, POLL_SECONDS, START_SECONDS, Redis, free_port

NODES = 3
SLOTS = 16384


class RedisCluster:
    """Three primaries that share the slots. A node that is killed is not replaced."""

    def __init__(self, **settings: str) -> None:
        self.nodes = [_node(settings) for _ in range(NODES)]
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            for node in self.nodes:
                running.enter_context(node)
            self._join()
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def url(self) -> str:
        """One node's; it tells of the others."""
        return self.nodes[0].url()

    def node_of(self, key: str) -> Redis:
        """The one that serves a key."""
        slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", key))
        return self.nodes[slot * NODES // SLOTS]

    def _join(self) -> None:
        bounds = [-(-SLOTS * n // NODES) for n in range(NODES + 1)]
        for node, (first, beyond) in zip(self.nodes, pairwise(bounds), strict=True):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, beyond - 1)
        first_node = self.nodes[0]
        for other in self.nodes[1:]:
            bus = other.setting("cluster-port")
            first_node.ask("CLUSTER", "MEET", LOOPBACK, other.port, bus)
        _until(lambda: all(_joined(node) for node in self.nodes))


class Failover:
    """A primary and its replica; who leads clients to the primary of the time is the test."""

    def __init__(self) -> None:
        self.primary = Redis(repl_diskless_sync_delay="0")
        of = f"{LOOPBACK} {self.primary.port}"
        self.replica = Redis(repl_diskless_sync_delay="0", replicaof=of)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            running.enter_context(self.primary)
            running.enter_context(self.replica)
            _until(lambda: _level(self.replica))
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def promote(self) -> None:
        """The replica is the primary from now on, and no longer hears the other one.

        That one may still run and take what will be lost: a network that parted them.
        """
        self.primary, self.replica = self.replica, self.primary
        self.primary.ask("REPLICAOF", "NO", "ONE")

    def demote(self) -> None:
        """The other one follows the primary, once it runs."""
        self.replica.ask("REPLICAOF", LOOPBACK, self.primary.port)
        _until(lambda: _level(self.replica))


def _node(settings: Mapping[str, str]) -> Redis:
    # The bus' own default, 10,000 above, may be past the last port.
    port = str(free_port())
    usual = {"cluster_enabled": "yes", "cluster_port": port, "cluster_node_timeout": "2000"}
    return Redis(keep=False, **{**usual, **settings})


def _joined(node: Redis) -> bool:
    with suppress(redis.RedisError):
        info = dict(line.split(":") for line in node.ask("CLUSTER", "INFO").split())
        return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(NODES))
    return False


def _level(replica: Redis) -> bool:
    with suppress(redis.RedisError):
        state = replica.ask("ROLE")
        return bool(state[0] == "slave" and state[3] == "connected")
    return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + START_SECONDS
    while not holds():
        assert monotonic() < deadline, "they did not find each other"
        sleep(POLL_SECONDS)
