"""An application behind our server, in this process, on a free port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from starlette.types import ASGIApp

from server.net.options import Options
from server.net.server import Server, listen, server_config

LOOPBACK = "127.0.0.1"
PATIENCE_S = 10.0


class Served(Struct, frozen=True):
    """A server that accepts connections."""

    server: Server
    port: int


@asynccontextmanager
async def serving(
    app: ASGIApp,
    options: Options | None = None,
    *,
    trusted_proxies: Sequence[str] = (),
) -> AsyncIterator[Served]:
    """Serve until the block ends; then every connection is closed."""
    options = options or Options()

    async def drained() -> None:
        """There is nothing to drain."""

    config = server_config(app, options, trusted_proxies=trusted_proxies)
    config.load()
    server = Server(config, drained)
    server.lifespan = config.lifespan_class(config)
    listener = listen(LOOPBACK, 0, options)
    await server.startup([listener])
    try:
        yield Served(server, listener.getsockname()[1])
    finally:
        await server.shutdown([listener])
