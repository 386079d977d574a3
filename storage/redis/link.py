"""The way to Redis, be it one server or a Cluster: no call takes long, a breaker spares some."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as TooLate

from storage.errors import Unavailable, Unsupported
from storage.redis.breaker import Breaker
from storage.redis.ears import Ears
from storage.redis.names import Names
from storage.redis.options import Options
from storage.redis.scripts import Script

Argument: TypeAlias = str | bytes | int

ABOUT = Script("about")


class Link:
    """One instance's way to Redis; made by `open_link`."""

    def __init__(
        self,
        client: "Redis | RedisCluster",
        names: Names,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = names
        self.cluster = isinstance(client, RedisCluster)
        self.publish = "SPUBLISH" if self.cluster else "PUBLISH"
        self.ears = Ears(self._place, self._connect, self._look, sharded=self.cluster)
        self._client = client
        self._options = options
        self._breaker = Breaker(options.pause_s, clock)
        # A Cluster's client does not wait for a connection; it fails, as if the node were gone.
        self._places = asyncio.Semaphore(options.connections)

    def __repr__(self) -> str:
        """Say what it leads to, and not where: the address may hold a password."""
        return f"<Link {'cluster' if self.cluster else 'server'} reachable={self.reachable}>"

    @property
    def reachable(self) -> bool:
        """Whether the last calls were answered."""
        return not self._breaker.is_open

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Have a script done; in a Cluster all its keys share a bucket. `Unavailable` if not."""
        try:
            return await self.ask("EVALSHA", script.sum, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.ask("EVAL", script.text, len(keys), *keys, *arguments)

    async def ask(self, *command: Argument, **options: Any) -> Any:
        """Have a command done. `Unavailable`: whether it was done is not known."""
        if not self._breaker.lets_through():
            raise Unavailable("Redis was out of reach a moment ago")
        asker = asyncio.current_task()
        cancelled = asker.cancelling() if asker else 0
        try:
            async with asyncio.timeout(self._options.timeout_s), self._places:
                answer = await self._client.execute_command(*command, **options)
        except (TimeoutError, TooLate):
            self._breaker.failed()
            why = f"Redis did not answer within {self._options.timeout_s:g} s"
            raise Unavailable(why, outcome_unknown=True) from None
        except (Unreachable, OSError) as error:
            self._breaker.failed(surely=True)
            raise Unavailable(f"Redis is out of reach: {_kind(error)}") from error
        except NoScriptError:
            raise
        except RedisError as error:
            # It answered, and cannot do it now: it loads, has no memory left, or was demoted.
            if isinstance(error, ReadOnlyError):
                await self._reconnect()
            raise Unavailable(f"Redis refused: {str(error)[:200]}") from error
        self._breaker.succeeded()
        if asker and asker.cancelling() > cancelled:  # redis lost that, for the answer was there
            raise asyncio.CancelledError
        return answer

    async def ask_of(self, channel: str, *command: Argument) -> Any:
        """Have a command done by the server at which that channel is heard."""
        if isinstance(self._client, RedisCluster):
            node = self._client.get_node(node_name=self._place(channel))
            return await self.ask(*command, target_nodes=node)
        return await self.ask(*command)

    async def about(self) -> tuple[str, str, str]:
        """For people: one server or a Cluster, its version, and what it does short of memory."""
        found = str(await self.call(ABOUT, [self.names.of("about", "")], []), "utf-8")
        facts = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
        kind = "a Cluster of version" if self.cluster else "version"
        return kind, facts.get("redis_version", "unknown"), facts.get("maxmemory_policy", "unknown")

    async def close(self) -> None:
        """End every connection."""
        await self.ears.close()
        await self._client.aclose()

    async def _reconnect(self) -> None:
        """The next calls look for the server anew, for its name may lead to another one now."""
        if isinstance(self._client, RedisCluster):
            await self._client.aclose()
        else:
            await self._client.connection_pool.disconnect(inuse_connections=False)

    # ── for who listens ──────────────────────────────────────────────────────────────────────────

    def _place(self, channel: str) -> str:
        """The server at which a channel is heard, by a name of ours."""
        if not isinstance(self._client, RedisCluster):
            return ""
        slot = self._client.keyslot(channel)
        return str(self._client.nodes_manager.get_node_from_slot(slot).name)

    async def _connect(self, place: str) -> AbstractConnection:
        """A connection of its own to that server; it waits for messages without end."""
        way: Any
        if isinstance(self._client, RedisCluster):
            way = self._client.get_node(node_name=place)
            if way is None:
                raise Unreachable("the node has left the Cluster")
        else:
            way = self._client.connection_pool
        connection: Any = way.connection_class(**{**way.connection_kwargs, "socket_timeout": None})
        async with asyncio.timeout(self._options.timeout_s):
            await connection.connect()
        return cast(AbstractConnection, connection)

    async def _look(self) -> None:
        """Learn which node has which slots."""
        if isinstance(self._client, RedisCluster):
            async with asyncio.timeout(self._options.timeout_s):
                await self._client.nodes_manager.initialize()


@asynccontextmanager
async def open_link(url: str, options: Options | None = None) -> AsyncIterator[Link]:
    """A link to the Redis at that address, which must answer; whether it is a Cluster, it says."""
    options = options or Options()
    common: dict[str, Any] = {
        "socket_timeout": options.timeout_s,
        "socket_connect_timeout": options.timeout_s,
        "protocol": 2,
    }
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=options.connections,
            timeout=options.timeout_s,
            retry=Retry(NoBackoff(), 0),
            **common,
        )
    except ValueError as error:
        raise Unsupported("REDIS_URL", "its address cannot be read") from error
    client: Redis | RedisCluster = Redis.from_pool(pool)
    database = int(pool.connection_kwargs.get("db", 0))
    try:
        found = await client.info("cluster")
        if found.get("cluster_enabled"):
            await client.aclose()
            client = RedisCluster.from_url(
                url, max_connections=options.connections, retry=Retry(NoBackoff(), 1), **common
            )
            await client.initialize()
    except (RedisError, OSError) as error:
        await client.aclose()
        why = f"Redis at {_host(url)}, where REDIS_URL points, is out of reach: {_kind(error)}"
        raise Unavailable(why) from error
    link = Link(client, Names(options.prefix, database), options)
    try:
        yield link
    finally:
        await link.close()


def _kind(error: BaseException) -> str:
    """What happened; the text of a foreign error may name an address with its password."""
    return type(error).__name__


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.hostname or parts.path
