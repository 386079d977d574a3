"""The server: uvicorn's, on a listening socket of ours, with a drain before it ends."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from server.net.http import Config, Http
from server.net.options import Options
from server.net.websocket import WebSocket

# In one turn of the loop, in which also all frames of the answers that run go out: asyncio takes as
# many as may wait. Turns follow each other at once while others wait, so a storm lasts no longer.
ACCEPTED_AT_ONCE = 1

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is taken, not ours, or not allowed; says what to do."""


def listen(host: str, port: int, options: Options) -> socket.socket:
    """A listening socket; the connections it accepts inherit its options."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=options.backlog)
    except OSError as error:
        raise CannotListen(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}. "
            "Stop what listens there, or choose another address or port."
        ) from error
    # asyncio sets this only on sockets that name their protocol, which these do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer_bytes)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        timeout_ms = round(options.user_timeout_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
    return listener


def server_config(app: ASGIApp, options: Options, *, trusted_proxies: Sequence[str] = ()) -> Config:
    """How uvicorn is to run: our protocols, nothing that logs requests, one process.

    Forwarded addresses are believed from the trusted proxies alone (addresses or networks).
    """
    return Config(
        app,
        options,
        http=Http,
        ws=WebSocket,
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        workers=1,
        # Below this, uvicorn logs the whole target of a request: a query may hold a ticket.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=options.keep_alive_s,
        timeout_graceful_shutdown=options.graceful_s,
    )


class Server(uvicorn.Server):
    """Serves until a signal; then takes no new connections, drains, and ends what is left.

    A second signal cuts that short, if it is no hangup. After the first one the process may exit
    with status 0, for it did what it was told; of the second one it dies.
    """

    def __init__(
        self,
        config: Config,
        drain: Callable[[], Awaitable[None]],
        *,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_started` is called once connections are accepted and signals are heeded."""
        super().__init__(config)
        self._backlog = config.options.backlog
        self._drain = drain
        self._on_started = on_started
        self._draining: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(self._backlog)  # asyncio takes as many in a turn as it lets wait
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, and close whatever is still connected."""
        for server in self.servers:
            server.close()
        if not self.force_exit:
            self._draining = asyncio.ensure_future(self._drain())
            await asyncio.wait({self._draining})
            if not self._draining.cancelled() and (error := self._draining.exception()):
                _log.error("The drain failed; closing without it.", exc_info=error)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first asks, any further one insists."""
        if self.should_exit and self._loop is not None:
            self.force_exit = True
            self._loop.call_soon_threadsafe(self._cut_short)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take the signals, and raise them again at the end only if they had to insist."""
        with super().capture_signals(), self._hangups():
            yield
            if not self.force_exit:
                self._captured_signals.clear()

    @contextmanager
    def _hangups(self) -> Generator[None, None, None]:
        """Take the end of the terminal for a signal too, unless we are to outlive it (nohup)."""
        heeded = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        if not heeded or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            # One that was taken stays ignored, for what follows the drain is not to be cut either.
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        """A terminal that closes says so up to three times (kernel and shell): none insists."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if not self.should_exit:
            self.handle_exit(sig, frame)

    def _cut_short(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
        for connection in self.server_state.connections:
            connection.transport.abort()
