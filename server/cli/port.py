"""The address to serve on, and in words why it is not to be had."""

import errno
import socket
from contextlib import suppress

from server.cli.asking import NoAnswer
from server.cli.serving import health_of, living
from server.config import Settings
from server.net.server import CannotListen, listen


class NoPort(Exception):
    """The address cannot be listened on; says why and what to do."""


def listening(settings: Settings) -> socket.socket:
    """The socket to serve on."""
    try:
        return listen(settings.host, settings.port, settings.net)
    except CannotListen as error:
        raise NoPort(_why_not(settings, error)) from None


def url_of(settings: Settings, port: int) -> str:
    """Where this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why_not(settings: Settings, error: CannotListen) -> str:
    host, port = settings.host, settings.port
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) and cause.errno else 0
    if number == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else 8000
        return (
            f"Port {port} of {host} is taken by {_taker(settings)}. Stop that, or take another "
            f"port: PARLEY_PORT={other}, or PARLEY_PORT=0 for any that is free."
        )
    if number == errno.EACCES:
        return f"Port {port} is not this user's to take. Those from 1024 on are: PARLEY_PORT=8000."
    if number == errno.EADDRNOTAVAIL or number < 0:  # below 0: the resolver's own errors
        return f"{host} is no address of this machine. PARLEY_HOST=127.0.0.1 is one."
    return str(error)


def _taker(settings: Settings) -> str:
    here = living(settings)
    if here is not None and here[0].url == url_of(settings, settings.port):
        return f"Parley: process {here[0].pid} serves this very data folder"
    with suppress(NoAnswer):
        health = health_of(url_of(settings, settings.port))
        return f"another Parley (instance {health.instance}), which has another data folder"
    return "another program"
