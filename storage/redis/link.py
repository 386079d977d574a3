"""The way to Redis, be it one server or a Cluster: no call takes long, a breaker spares some."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    ClusterError,
    DataError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as TooLate

from storage.errors import Unavailable, Unsupported
from storage.redis.breaker import Breaker
from storage.redis.ears import NOWHERE, Ears, Place
from storage.redis.names import BUCKETS, Names
from storage.redis.options import Options
from storage.redis.scripts import Script
from storage.redis.way import Way

Argument: TypeAlias = str | bytes | int

# Told of each server, by its name (none: there is only one), why it does not serve; None: it does.
Tell: TypeAlias = Callable[[Place, str | None], None]

ABOUT = Script("about")
OLDEST, OLDEST_OF_CLUSTERS = (6, 2), (7, 0)
START_S = 5.0
RENEWED_EVERY_S = 1.0  # at most, what is known of a Cluster
ROOM_PAUSE_S, ROOM_LIFE_MS = 0.5, 1000

# In what a server says that stores nothing now, and does the rest: it has no memory, its disk is
# full, its replicas are gone, or it has become one itself. Older ones say it amid other words.
STORES_NOTHING = ("maxmemory", "MISCONF", "NOREPLICAS")
READ_ONLY = "read only replica"

# The pools have no bound of their own: one that is met is an error to a Cluster's client.
_ANY = 1 << 30


class Link:
    """One instance's way to Redis; made by `open_link`."""

    def __init__(
        self,
        client: "Redis | RedisCluster",
        names: Names,
        options: Options,
        tell: Tell,
    ) -> None:
        self.names = names
        # Asked once, not with each call: its class makes that take 2 µs, some part of a call.
        self._cluster = client if isinstance(client, RedisCluster) else None
        self._pool = None if isinstance(client, RedisCluster) else client.connection_pool
        self.cluster = self._cluster is not None
        self.publish = "SPUBLISH" if self.cluster else "PUBLISH"
        self.ears = Ears(self._place, self._connect, self._look, sharded=self.cluster)
        self._client = client
        self._options = options
        self._tell = tell
        self._ways: dict[Place, Way] = {}
        self._works: set[asyncio.Task[Any]] = set()
        self._renewal: asyncio.Task[Any] | None = None
        self._closed = False

    def __repr__(self) -> str:
        """Say what it leads to, and not where: the address may hold a password."""
        return f"<Link {'cluster' if self.cluster else 'server'} reachable={self.reachable}>"

    @property
    def reachable(self) -> bool:
        """Whether the last calls were answered, and it stores; one node of a Cluster at least."""
        ways = self._ways.values()
        return not ways or any(way.serves for way in ways)

    async def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Have a script done; in a Cluster all its keys share a bucket. `Unavailable` if not."""
        try:
            return await self._ask(keys[0], "EVALSHA", script.sum, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._ask(keys[0], "EVAL", script.text, len(keys), *keys, *arguments)

    async def ask_about(self, key: str, *command: Argument) -> Any:
        """Have a command done that names this key, by the server that has it."""
        return await self._ask(key, *command)

    async def ask_of(self, channel: str, *command: Argument) -> Any:
        """Have a command done by the server at which that channel is heard."""
        place = self._place(channel)
        if self._cluster is not None:
            node = self._cluster.get_node(node_name=place) if place else None
            if node is None:
                raise Unavailable("no node of the Cluster has that slot now")
            return await self._ask(channel, *command, target_nodes=node)
        return await self._ask(channel, *command)

    async def _ask(self, key: str, *command: Argument, **options: Any) -> Any:
        if self._closed:
            raise Unavailable("the way to Redis is closed")
        place = self._place(key)
        way = self._way(place)
        if way.breaker.is_open:
            raise Unavailable("Redis was out of reach a moment ago")
        try:
            return await self._ask_there(place, way, *command, **options)
        finally:
            self._await_if_away(place, way, key)

    async def _ask_there(self, place: Place, way: Way, *command: Argument, **options: Any) -> Any:
        asker = asyncio.current_task()
        cancelled = asker.cancelling() if asker else 0
        try:
            async with asyncio.timeout(self._options.timeout_s), way.turns:
                answer = await self._client.execute_command(*command, **options)
        except (TimeoutError, TooLate):
            why = f"Redis did not answer within {self._options.timeout_s:g} s"
            way.silent(why)
            if way.breaker.is_open:
                self._renew(place)
            raise Unavailable(why, outcome_unknown=True) from None
        except DataError:
            raise  # a mistake of ours: such arguments cannot be sent
        except NoScriptError:
            way.answered()
            raise
        except (ResponseError, ClusterError) as error:
            self._refused(place, way, error)
            raise Unavailable(f"Redis refused: {str(error)[:200]}") from error
        except (RedisError, RedisClusterException, OSError) as error:
            why = f"Redis is out of reach: {_kind(error)}"
            way.silent(why, surely=True)
            self._renew(place)  # those that wait may be reset, too, which the pool does not see
            raise Unavailable(why) from error
        way.answered()
        if asker and asker.cancelling() > cancelled:  # redis lost that, for the answer was there
            raise asyncio.CancelledError
        return answer

    async def about(self) -> tuple[str, str, str]:
        """For people: one server or a Cluster, its version, and what it does short of memory."""
        found = str(await self.call(ABOUT, [self.names.of("about", "")], []), "utf-8")
        facts = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
        kind = "a Cluster of version" if self.cluster else "version"
        return kind, facts.get("redis_version", "unknown"), facts.get("maxmemory_policy", "unknown")

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any] | None:
        """Do something in the background, until the link is closed."""
        if self._closed:
            work.close()
            return None
        task = asyncio.create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    async def close(self) -> None:
        """End every connection, and what was begun."""
        self._closed = True
        for task in list(self._works):
            task.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)
        await self.ears.close()
        await self._client.aclose()

    def _refused(self, place: Place, way: Way, error: RedisError) -> None:
        """It answered, and cannot do it now: it has no memory left, say, or was demoted."""
        why = str(error)
        demoted = READ_ONLY in why
        if isinstance(error, ClusterDownError):
            way.silent(why, surely=True)  # it will not do anything else either
        elif demoted or any(word in why for word in STORES_NOTHING):
            if not way.full:
                self.start(self._await_room(place, way))
            way.ran_full(why)
            if demoted:
                way.demoted = True
                self._renew(place)
        else:
            way.refused(_kind(error), why)

    def _await_if_away(self, place: Place, way: Way, key: str) -> None:
        if way.breaker.is_open and not way.awaited:
            way.awaited = True
            self.start(self._await_answer(place, way, key))

    async def _await_answer(self, place: Place, way: Way, key: str) -> None:
        """Try until it answers, so that nobody else has to wait for who does not.

        A key is asked for, as a Cluster that is down would answer a mere PING.
        """
        while way.breaker.is_open and self._ways.get(place) is way:
            await asyncio.sleep(self._options.pause_s)
            if self._place(key) != place:
                self._ways.pop(place, None)  # another has what it had
                break
            with suppress(Unavailable):
                await self._ask_there(place, way, "EXISTS", key)
            if way.breaker.is_open:
                self._renew(place)
        way.awaited = False

    async def _await_room(self, place: Place, way: Way) -> None:
        """Try until it stores again: it goes on to answer what stores nothing."""
        keys = [self.names.of("room", str(number)) for number in range(BUCKETS)]
        key = next((key for key in keys if self._place(key) == place), keys[0])
        while way.full and self._ways.get(place) is way:
            await asyncio.sleep(ROOM_PAUSE_S)
            with suppress(Unavailable):
                await self._ask(key, "SET", key, "", "PX", ROOM_LIFE_MS)
                way.has_room()
        if way.demoted:
            way.demoted = False
            self.ears.renew()  # who stores now is not whom they hear, it may be

    def _way(self, place: Place) -> Way:
        way = self._ways.get(place)
        if way is None:
            tell = partial(self._tell, place)
            way = self._ways[place] = Way(Breaker(), self._options.connections, tell)
        return way

    def _renew(self, place: Place) -> None:
        """The next calls look for the server anew: at its address there may be another one now,
        and connections that wait in the pool may be as dead as the one that did not answer.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = self.start(self._look_anew(place))

    async def _look_anew(self, place: Place) -> None:
        if self._pool is not None:
            with suppress(RedisError, OSError):
                await self._pool.disconnect(inuse_connections=False)
        if self._cluster is not None:
            with suppress(Unavailable):
                node = self._cluster.get_node(node_name=place) if place else None
                if node is not None:
                    await node.disconnect_free_connections()
                await self._look()
            await asyncio.sleep(RENEWED_EVERY_S)

    # ── for who listens ──────────────────────────────────────────────────────────────────────────

    def _place(self, channel: str) -> Place:
        """The server at which a channel is heard and its keys are, by a name of ours."""
        if self._cluster is None:
            return NOWHERE
        slot = self._cluster.keyslot(channel)
        try:
            return str(self._cluster.nodes_manager.get_node_from_slot(slot).name)
        except (RedisClusterException, LookupError):
            return NOWHERE  # no node has it at the moment

    async def _connect(self, place: Place) -> AbstractConnection:
        """A connection of its own to that server; it waits for messages without end."""
        way: Any
        if self._cluster is not None:
            way = self._cluster.get_node(node_name=place) if place else None
            if way is None:
                raise Unavailable("the node has left the Cluster")
        else:
            way = self._pool
        connection: Any = way.connection_class(**way.connection_kwargs)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await connection.connect()
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis is out of reach: {_kind(error)}") from error
        return cast(AbstractConnection, connection)

    async def _look(self) -> None:
        """Learn which node has which slots."""
        if self._cluster is None:
            return
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await self._cluster.nodes_manager.initialize()
        except (RedisError, RedisClusterException, OSError) as error:
            raise Unavailable(f"the Cluster is out of reach: {_kind(error)}") from error
        there = self._cluster.nodes_manager.nodes_cache
        self._ways = {place: way for place, way in self._ways.items() if place in there}


@asynccontextmanager
async def open_link(
    url: str, options: Options | None = None, tell: Tell = lambda _, why: None
) -> AsyncIterator[Link]:
    """A link to the Redis at that address, which must answer; whether it is a Cluster, it says.

    `tell` hears when a server stops to serve, with the reason, and when it serves again.
    """
    options = options or Options()
    within_s = max(START_S, options.timeout_s)
    # Each call has a time-out as a whole; one of the client's own may swallow a cancellation.
    common: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": within_s,
        "max_connections": _ANY,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # what was asked may have been done
    }
    try:
        pool = ConnectionPool.from_url(url, **common)
        database = int(pool.connection_kwargs.get("db", 0))
    except ValueError:
        # Its text may hold a piece of the password.
        raise Unsupported("REDIS_URL", "its address cannot be read") from None
    client: Redis | RedisCluster = Redis.from_pool(pool)
    client.set_response_callback("XRANGE", _as_it_came)
    try:
        async with asyncio.timeout(within_s):
            found = await client.info("everything")
            cluster = bool(found.get("cluster_enabled"))
            _examine(str(found.get("redis_version", "")), cluster=cluster)
            if cluster:
                await client.aclose()
                client = RedisCluster.from_url(url, **common)
                client.set_response_callback("XRANGE", _as_it_came)
                await client.initialize()
    except BaseException as error:
        await client.aclose()
        if not isinstance(error, RedisError | RedisClusterException | OSError):
            raise
        refused = isinstance(error, ResponseError)
        what = f"refused: {error}" if refused else f"is out of reach: {_kind(error)}"
        why = f"Redis at {_host(url)}, where REDIS_URL points, {what}"
        raise Unavailable(why) from error
    link = Link(client, Names(options.prefix, database), options, tell)
    try:
        yield link
    finally:
        await link.close()


def _examine(version: str, *, cluster: bool) -> None:
    """Say what would fail later, and less clearly."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    oldest = OLDEST_OF_CLUSTERS if cluster else OLDEST
    if len(numbers) == len(oldest) and numbers < oldest:
        least = ".".join(map(str, oldest))
        raise Unsupported("REDIS_URL", f"Redis {version} is too old, it takes {least} or later")


def _as_it_came(response: Any, **kwargs: Any) -> Any:
    """Not made into dictionaries, which takes longer than to receive it."""
    return response


def _kind(error: BaseException) -> str:
    """What happened; the text of a foreign error may name an address with its password."""
    return type(error).__name__


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.hostname or parts.path
