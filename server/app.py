"""The composition root: the one place where parts are made and handed to each other."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from protocol.frames.objects import Server as ServerInfo
from protocol.session import Timing
from server import NAME, VERSION
from server.alone import Alone, alone_by
from server.auth.doors import Doors
from server.auth.keys import KeysAway
from server.auth.revocations import Revocations
from server.auth.tickets import Tickets
from server.auth.visitors import Visitors
from server.background import Background
from server.commons import Commons, commons_of
from server.config import Settings, tokens_of
from server.conversations import Conversations
from server.generation.audience import Audience
from server.generation.supervisor import Supervisor
from server.http.errors import answer
from server.http.health import About, Load, Probe
from server.http.parts import HttpParts
from server.http.routes import application
from server.limits.admission import Admission
from server.limits.memory import LOOKED_S, Memory
from server.limits.rates import Rates
from server.limits.shares import Shares
from server.limits.watchdog import Watchdog
from server.providers.base import Model
from server.providers.catalogue import Catalogue
from server.providers.offline import Offline
from server.providers.scripted import Scripted
from server.sessions.drain import FINISHING_S, Departure, drain
from server.sessions.registry import Registry
from server.sessions.seating import KEEP_S, Seating
from server.streams.hub import Hub
from server.telemetry.foreign import route_loop
from server.telemetry.lines import answer_ended, connection_closed, fault
from server.telemetry.logs import get_logger
from server.ws.endpoint import Endpoint
from server.ws.parts import Parts
from storage.ids import Ids
from storage.sql import Database, open_database
from storage.sql.migrate import latest
from storage.sql.store import SqlStore
from storage.store import Store
from storage.values import Owner

FEATURES = ("approvals", "client_tools")
HOUR_S = 3600.0
SEARCHES_TOGETHER = 2  # each keeps one of a few readers of SQL, at times for three seconds
FETCHES_TOGETHER = 64  # more would only wait in the line of SQL, and not as long as they may
NUDGE_PAUSE_S = 0.1  # many are shut out at once at times; one look is for all of them
_log = get_logger()


class App:
    """A server without its listener: `asgi` serves requests until `drain` has ended."""

    def __init__(
        self, settings: Settings, db: Database, alone: Alone | None, commons: Commons
    ) -> None:
        """`alone`: no other process serves this database."""
        self.instance = settings.instance or f"i-{secrets.token_hex(4)}"
        self.draining = False
        self._settings = settings
        self._commons = commons
        self._db = db
        self._alone = alone
        self._background = Background(fault)
        ids = Ids()
        store = SqlStore(db, ids)
        log, bus = commons.log, commons.bus
        self._hub = Hub(log, store.internal, bus, _report, settings.streams)
        self._nudged = asyncio.Event()
        self._registry = Registry(time.monotonic, bus, self._nudged.set)
        self._seating = Seating(commons.seats(self.instance))
        catalogue = _catalogue(settings)
        self._supervisor = Supervisor(
            store=store,
            hub=self._hub,
            event_log=log,
            bus=bus,
            catalogue=catalogue,
            ids=ids,
            instance=self.instance,
            report=answer_ended,
            proof_of_death=alone is not None,
            options=settings.answers,
        )
        self._memory = Memory(settings.limits.memory_mib)
        self._watchdog = Watchdog(settings.limits.loop_held_s, settings.limits.loop_smooth_s)
        rates = Rates(settings.limits, shared=commons.counters)
        self._conversations = Conversations(
            store=store,
            hub=self._hub,
            supervisor=self._supervisor,
            catalogue=catalogue,
            rates=rates,
            announce=self._registry.tell,
            pressed=self._pressed,
        )
        self._audience = Audience(
            log,
            lambda: self._supervisor.answers,
            self._conversations.stop,
            unwatched_s=settings.answers.unwatched_s,
        )
        self._store: Store = store
        self._doors = _doors(settings)
        self._revocations = Revocations(store.internal.accounts, settings.auth)
        self.asgi = self._application(store, rates)

    def _application(self, store: SqlStore, rates: Rates) -> ASGIApp:
        settings = self._settings
        secret = settings.jwt_secret.encode() if settings.jwt_secret else None
        tokens = tokens_of(settings, _keys_away)
        tickets = Tickets(self._commons.tickets, settings.auth)
        visitors = Visitors(
            tokens,
            store.internal.accounts,
            store.internal.renewals,
            settings.auth,
            secret=secret,
            development=settings.development,
        )
        at_once = settings.limits.requests_at_once
        fetches = Shares(at_once, FETCHES_TOGETHER)
        commands = Shares(at_once, settings.database.waiting)  # that line is short: 2 s
        sockets = Parts(
            server=ServerInfo(name=NAME, version=VERSION, instance=self.instance),
            features=FEATURES,
            options=settings.socket,
            timing=_timing(settings),
            doors=self._doors,
            tokens=tokens,
            tickets=tickets,
            revocations=self._revocations,
            admission=Admission(
                settings.limits, pressed=self._pressed, crowded=lambda: fetches.crowded
            ),
            rates=rates,
            fetches=fetches,
            commands=commands,
            limits=settings.limits,
            registry=self._registry,
            seating=self._seating,
            conversations=self._conversations,
            hub=self._hub,
            store=store,
            deny=answer,
            spawn=self._background.spawn,
            report=connection_closed,
            fault=fault,
            clock=time.monotonic,
            wall=time.time,
        )
        pages = HttpParts(
            about=About(
                name=NAME, version=VERSION, instance=self.instance, schema_version=latest(self._db)
            ),
            options=settings.http,
            limits=settings.limits,
            doors=self._doors,
            tokens=tokens,
            tickets=tickets,
            visitors=visitors,
            revocations=self._revocations,
            rates=rates,
            conversations=self._conversations,
            store=store,
            fetches=fetches,
            commands=commands,
            searches=Shares(1, SEARCHES_TOGETHER),
            probes=self._probes(),
            load=self._load,
            draining=lambda: self.draining,
            base_path=settings.base_path,
        )
        endpoint = Endpoint(sockets, lambda: self.draining)
        return application(pages, [WebSocketRoute("/ws", endpoint)])

    async def start(self) -> None:
        """Take up what others left, and keep everything going."""
        background, settings = self._background, self._settings
        route_loop(asyncio.get_running_loop(), _log)
        await self._learn_accounts()
        if self._commons.carry is not None:
            background.loop("words", self._commons.carry())
        await self._memory.look()
        background.loop("watchdog", self._watchdog.run())
        background.loop("appends", self._hub.run())
        if self._alone is not None:
            background.loop("lock", self._alone.keep())
        await self._supervisor.recover()
        background.loop("answers", self._supervisor.run())
        background.loop("sockets", self._registry.run())
        await self._seating.keep()
        background.loop("seats", self._seating.run())
        background.every("lease", KEEP_S, self._seating.keep)
        background.every("memory", LOOKED_S, self._memory.look)
        background.every("rows", 1.0, self._hub.sweep)
        if settings.answers.unwatched_s:
            background.every("audience", self._audience.every_s, self._audience.look)
        background.every("positions", settings.streams.check_s, self._hub.check)
        background.every("accounts", settings.auth.revocations_s, self._learn_accounts)
        background.every("nudges", NUDGE_PAUSE_S, self._follow_nudge)
        background.every("renewals", HOUR_S, self._store.internal.renewals.prune)

    async def drain(self) -> None:
        """Ask sockets to go, let answers end within the grace, then close what is left."""
        self.draining = True
        options = self._settings.socket
        departure = Departure(
            batches=options.drain_batches,
            pause_s=options.drain_pause_s,
            spread_s=options.drain_spread_s,
            grace_s=options.drain_grace_s,
        )
        await drain(self._registry, self._supervisor.drain, departure)

    async def displaced(self) -> None:
        """Wait until another process serves this database, if that ever happens."""
        if self._alone is None:
            await asyncio.Event().wait()
        else:
            await self._alone.displaced.wait()

    async def stop(self) -> None:
        """End every task; what SQL should know is told."""
        if not self.draining:  # it never came to serve, or nobody asked for a drain
            await self._supervisor.drain(0)
        await self._background.finish(FINISHING_S)
        await self._background.close()
        await self._seating.close()
        await self._hub.stop()

    async def _learn_accounts(self) -> None:
        """Which sites there are, and whose credentials were voided: their sockets end.

        Who was shut out has no use for answers either.
        """
        self._doors.learn(await self._store.internal.accounts.origins())
        for owner in await self._shut_out():
            self._registry.nudge(owner)
        await self._conversations.silence()

    async def _follow_nudge(self) -> None:
        """Another instance learnt of it first: look now and not at the next turn."""
        await self._nudged.wait()
        self._nudged.clear()
        await self._shut_out()

    async def _shut_out(self) -> list[Owner]:
        """Whose credentials were voided since the last look; their sockets here end."""
        voided = await self._revocations.refresh()
        for owner in voided:
            for socket in self._registry.of(owner):
                socket.check()
        return voided

    def _load(self) -> Load:
        return Load(
            sockets=len(self._registry),
            answers=self._supervisor.running,
            loop_held=self._watchdog.times,
            loop_longest_ms=round(self._watchdog.longest_s * 1000),
        )

    def _pressed(self) -> bool:
        return self._memory.pressed

    def _probes(self) -> dict[str, Probe]:
        probes: dict[str, Probe] = {
            "database": self._ask_database,
            "background": self._ask_background,
            "loop": self._watchdog.ask,
        }
        if self._alone is not None:
            probes["lock"] = self._alone.ask
        if self._commons.ask is not None:
            probes["redis"] = self._commons.ask
        return probes

    async def _ask_database(self) -> None:
        async with asyncio.timeout(2.0):
            await self._db.check()

    async def _ask_background(self) -> None:
        if self._background.fallen:
            raise RuntimeError(f"ended: {', '.join(self._background.fallen)}")


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """A server at work on its own database; the schema must be up to date."""
    async with AsyncExitStack() as stack:
        db = await open_database(settings.store_url, settings.database)
        stack.push_async_callback(db.close)
        commons = await stack.enter_async_context(commons_of(settings))
        alone = None
        if settings.redis_url is None or db.dialect == "sqlite":  # a file is never shared
            alone = await stack.enter_async_context(alone_by(db.hold_lock))
        app = App(settings, db, alone, commons)
        stack.push_async_callback(app.stop)
        await app.start()
        yield app


def _catalogue(settings: Settings) -> Catalogue:
    models = [Model("offline", Offline())]
    if settings.offers_scripted:
        models.append(Model("scripted", Scripted(), calls_tools=True))
    return Catalogue(models, settings.model)


def _keys_away(away: KeysAway) -> None:
    _log.warning("an issuer's keys were not fetched", reason=str(away))


def _doors(settings: Settings) -> Doors:
    origins = [origin for origin in settings.allowed_origins if origin != "*"]
    if settings.public_url is not None:
        origins.append(settings.public_url)
    return Doors(development=settings.development, origins=origins)


def _timing(settings: Settings) -> Timing:
    options = settings.socket
    return Timing(
        hello_s=options.hello_s,
        verify_s=options.verify_s,
        heartbeat_s=options.heartbeat_s,
        pong_s=options.pong_s,
        idle_s=options.idle_s,
        expiring_s=options.expiring_s,
        expired_grace_s=options.expired_grace_s,
    )


def _report(conversation: str | None, error: BaseException) -> None:
    _log.warning("a log was not told", conversation=conversation, exc_info=error)
