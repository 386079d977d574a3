"""A client on real sockets: the pure machine of `protocol.client`, with a loop, a clock and chance.

    async with Link("ws://127.0.0.1:8000/ws", token=token, on_news=print) as link:
        link.follow(conversation)
        await link.until(lambda: link.replicas[conversation].level)

It connects on entry, reconnects and resumes by itself, and lets go on exit.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from protocol.client import ClientSession
from protocol.client_states import SOCKETLESS, State
from protocol.codec import JSON, Codec
from protocol.codes import CloseCode, close_for_status
from protocol.frames.from_client import ClientInfo
from protocol.frames.from_server import Welcome
from protocol.news import (
    Action,
    Close,
    Connect,
    Heard,
    Moved,
    NeedToken,
    News,
    Send,
    Tell,
)
from protocol.outbox import AnyRequest
from protocol.replica import Replica

MESSAGE_BYTES = 1024 * 1024  # four times what a server of this version sends
QUEUED_MESSAGES = 16
CONNECT_S = 9.0  # to `welcome`; where many come at once a server may take most of it
CLOSE_S = 1.0  # for a farewell; a dead peer would never finish it

Renew: TypeAlias = Callable[[], Awaitable[str | None]]


class LinkStopped(Exception):
    """The server closed for good, or the link was left: nothing more will happen."""

    def __init__(self, close: int | None) -> None:
        super().__init__(close)
        self.close = close

    def __str__(self) -> str:
        return f"the link has stopped (close code {self.close})"


class HungUp(Exception):
    """The server ended the connection before it let us in, so many times in a row."""

    def __init__(self, code: int, times: int) -> None:
        super().__init__(code, times)
        self.code = code
        self.times = times

    def __str__(self) -> str:
        how = "" if self.code == CloseCode.ABNORMAL else f" (close code {self.code})"
        return f"hung up before it let us in{how}"


class Link:
    """One client. What it asks and follows outlives its connections.

    `on_news` hears all that the machine tells, in order and before anything later has changed the
    replicas; it must not wait. `renew` brings a new token when the old one ends, or None.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        renew: Renew | None = None,
        on_news: Callable[[News], None] | None = None,
        info: ClientInfo | None = None,
        codec: Codec = JSON,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.trouble: Exception | None = None  # why the last attempt to connect came to nothing
        self._url = url
        self._renew = renew
        self._on_news = on_news
        self._codec = codec
        self._clock = clock
        self._chance = chance
        self._session = ClientSession(token=token, info=info, codec=codec, connect_s=CONNECT_S)
        self._tasks = asyncio.TaskGroup()
        self._actions: deque[Action] = deque()
        self._watched: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._connection: asyncio.Task[None] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._renewed = False  # after an end, and not let in since: again would change nothing
        self._rearmed = asyncio.Event()
        self._armed = float("inf")  # when `_keep_time` looks again by itself
        self._close: int | None = None
        self._hung_up = 0  # connections in a row
        self._heard = False  # whether anything came by this connection

    def __repr__(self) -> str:
        """Show where it leads and how it stands."""
        return f"<Link {self._url} {self._session!r}>"

    @property
    def state(self) -> State:
        """Where the client stands."""
        return self._session.state

    @property
    def welcome(self) -> Welcome | None:
        """The newest greeting; it outlives its connection."""
        return self._session.welcome

    @property
    def replicas(self) -> dict[str, Replica]:
        """What is followed, by conversation; to be read, not to be changed."""
        return self._session.replicas

    # What the application wants.

    def submit(self, frame: AnyRequest) -> None:
        """Ask; the answer is news, however many connections it takes."""
        self._do(self._session.submit(frame, self._clock()))

    def follow(self, conversation: str, *, history: int | None = None) -> None:
        """Bring the conversation level and keep it so."""
        self._do(self._session.follow(conversation, self._clock(), history=history))

    def unfollow(self, conversation: str) -> None:
        """Stop following."""
        self._do(self._session.unfollow(conversation, self._clock()))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at after each thing that happens here."""
        met = asyncio.get_running_loop().create_future()
        self._watched.append((condition, met))
        self.look()
        await met

    def look(self) -> None:
        """Wake whoever waits `until` what is now so; or all, if nothing will happen any more."""
        if self._session.state is State.STOPPED and self._renewal is None:
            self._give_up()
            self._watched.clear()
            return
        for watched in list(self._watched):
            condition, met = watched
            if met.done() or condition():
                self._watched.remove(watched)
                if not met.done():
                    met.set_result(None)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._clockwork = self._tasks.create_task(self._keep_time())
        self._do(self._session.connect(self._clock()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        self._do(self._session.stop())
        self._clockwork.cancel()
        # Only a cancellation concerns our tasks: one of theirs may be its cause. Any other error
        # of the block goes on as it is, and so does the first of theirs, which ended the others.
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None,) * 3))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    # What the machine wants.

    def _do(self, actions: list[Action]) -> None:
        """Do them in order; those that doing them leads to come behind."""
        inner = bool(self._actions)
        self._actions += actions
        if inner:
            return
        try:
            while self._actions:
                self._perform(self._actions[0])
                self._actions.popleft()
        finally:
            self._actions.clear()
        self.look()
        if self._session.deadline < self._armed:
            self._rearmed.set()

    def _perform(self, action: Action) -> None:
        match action:
            case Connect():
                self._connection = self._tasks.create_task(self._converse())
            case Send(frame):
                self._outgoing.put_nowait(self._codec.encode(frame))
            case Close(code):
                assert self._connection is not None
                self._connection.cancel()
                if code is CloseCode.HELLO_TIMEOUT:
                    what = "nothing that Parley says" if self._heard else "nothing"
                    self.trouble = TimeoutError(f"it says {what}")
                self._closed(code)
            case Tell(news):
                self._tell(news)

    def _tell(self, news: News) -> None:
        if self._on_news is not None:
            self._on_news(news)
        match news:
            case Moved(State.STOPPED, close):
                self._close = close
            case Heard(Welcome()):
                self._renewed = False
                self._hung_up = 0
            case NeedToken("expiring"):
                self._begin_renewal()
            case NeedToken("expired") if not self._renewed:
                self._renewed = True
                self._begin_renewal()

    def _give_up(self) -> None:
        for _, met in self._watched:
            if not met.done():
                met.set_exception(LinkStopped(self._close))

    def _begin_renewal(self) -> None:
        if self._renew is not None and self._renewal is None:
            self._renewal = self._tasks.create_task(self._replace_token(self._renew))

    async def _replace_token(self, renew: Renew) -> None:
        token = await renew()
        self._renewal = None
        if token is not None:
            self._do(self._session.auth(token, self._clock()))
            if self._session.state is State.STOPPED:
                self._do(self._session.connect(self._clock()))
        self.look()

    async def _keep_time(self) -> None:
        while True:
            self._rearmed.clear()
            self._armed = self._session.deadline
            pause = None if self._armed == float("inf") else max(0.0, self._armed - self._clock())
            try:
                async with asyncio.timeout(pause):
                    await self._rearmed.wait()
            except TimeoutError:
                self._do(self._session.tick(self._clock()))

    # One connection.

    async def _converse(self) -> None:
        """From the attempt to its end, which the machine is told of once."""
        outgoing = self._outgoing = asyncio.Queue()
        socket = await self._open()
        if socket is None:
            return
        writer = self._tasks.create_task(self._write(socket, outgoing))
        try:
            self._do(self._session.opened())
            await self._read(socket)
        finally:
            writer.cancel()
            await socket.close()

    async def _open(self) -> ClientConnection | None:
        self.trouble = None
        self._heard = False
        bearer = self._session.bearer
        try:
            return await connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {bearer}"} if bearer else None,
                subprotocols=[Subprotocol(self._codec.subprotocol)],
                compression=None,
                proxy=None,
                open_timeout=None,  # the machine's, as is the heartbeat
                ping_interval=None,
                close_timeout=CLOSE_S,
                max_size=MESSAGE_BYTES,
                max_queue=QUEUED_MESSAGES,
            )
        except InvalidStatus as refusal:
            self.trouble = refusal
            code = close_for_status(refusal.response.status_code)
            named = refusal.response.headers.get("Retry-After", "")
            self._closed(code, retry_after_s=float(named) if named.isdecimal() else 0.0)
        except (OSError, WebSocketException) as error:
            self.trouble = error
            self._closed(CloseCode.ABNORMAL)
        return None

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                received = self._codec.decode_server(await socket.recv(decode=False))
                self._heard = True
                self._do(self._session.receive(received, self._clock(), self._chance()))
        except ConnectionClosed:
            code = socket.close_code or CloseCode.ABNORMAL
            if self._session.state is State.GREETING:
                self._hung_up += 1
                self.trouble = HungUp(code, self._hung_up)
            self._closed(code)

    async def _write(self, socket: ClientConnection, outgoing: asyncio.Queue[bytes]) -> None:
        try:
            while True:
                await socket.send(await outgoing.get(), text=not self._codec.binary)
        except ConnectionClosed:
            pass  # `_read` tells it

    def _closed(self, code: int, *, retry_after_s: float = 0.0) -> None:
        if self._session.state not in SOCKETLESS:
            now, chance = self._clock(), self._chance()
            self._do(self._session.closed(code, now, chance, retry_after_s=retry_after_s))
