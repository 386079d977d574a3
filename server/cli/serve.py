"""`parley serve`: the server, from its first look at the port to its last word."""

import argparse
import asyncio
import gc
import os
import socket
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

from server import VERSION
from server.alone import Displaced
from server.app import App, open_app
from server.cli import folder
from server.cli.files import room_for
from server.cli.migrate import brought_up_to_date, refuse_pending
from server.cli.port import NoPort, listening, url_of
from server.cli.serving import Serving, announced, why_not
from server.config import ConfigError, Problem, Settings, secured
from server.net.selector import Loop
from server.net.server import Server, server_config
from server.telemetry import logs
from storage import failpoints
from storage.errors import StorageError

# Objects after which the collector looks at the youngest, how many such looks make one at the next
# older ones, and how many of these one at all. By the defaults thousands who come at once have it
# look at everything again and again, two fifths of all time; and with a larger second number each
# look at their objects holds up the loop for 40 ms.
COLLECTED_AFTER = (1_000, 2, 800)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`serve` and what it takes."""
    parser = subparsers.add_parser(
        "serve",
        help="run the server",
        description="Runs the server until Ctrl-C or SIGTERM; then answers may end and clients "
        "move on. A second Ctrl-C ends it at once.",
    )
    parser.add_argument(
        "--migrate", action="store_true", help="bring the database up to date first"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """The verb; its result is the process's exit status."""
    folder.make(settings.data_dir)
    settings = secured(settings)
    if settings.development:
        _arm(os.environ.get("FAIL_AT", ""))
    logs.configure(settings.log_level, console=sys.stderr.isatty(), instance=settings.instance)
    for warning in settings.warnings:
        print(f"Note: {warning}", file=sys.stderr)
    _make_room(settings.limits.sockets)
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(_serve(settings, migrate=args.migrate))
    except (NoPort, Displaced) as error:
        print(f"Parley cannot serve. {error}", file=sys.stderr)
        return 1
    except StorageError as error:
        print(f"Parley cannot serve. {why_not(settings, error)}", file=sys.stderr)
        return 1
    return 0


def _arm(spec: str) -> None:
    """For tests of what a crash leaves behind; no setting, so nobody can have it in a `.env`."""
    if not spec:
        return
    try:
        failpoints.arm(spec)
    except ValueError as error:
        raise ConfigError([Problem("FAIL_AT", f"It cannot be armed: {error}.")]) from None
    print(f"Note: FAIL_AT={spec} has this process killed or held there.", file=sys.stderr)


def _make_room(sockets: int) -> None:
    room = room_for(sockets)
    if room < sockets:
        print(
            f"Note: this process may open files for {room} sockets, and PARLEY_LIMITS_SOCKETS"
            f" allows {sockets}. Raise the bound of files (ulimit -Hn), or lower that.",
            file=sys.stderr,
        )


async def _serve(settings: Settings, *, migrate: bool) -> None:
    with listening(settings) as listener, ExitStack() as stack:
        await (brought_up_to_date if migrate else refuse_pending)(settings)
        async with open_app(settings) as app:
            serving = Serving(
                pid=os.getpid(),
                url=url_of(settings, listener.getsockname()[1]),
                instance=app.instance,
                version=VERSION,
                started=datetime.now(UTC).isoformat(timespec="seconds"),
            )

            def started() -> None:
                # What was imported stays for good; looking through it at every full collection
                # would stop the event loop for 50 ms.
                gc.collect()
                gc.freeze()
                gc.set_threshold(*COLLECTED_AFTER)
                stack.enter_context(announced(settings.data_dir, serving))
                print(greeting(settings, serving), flush=True)

            config = server_config(app.asgi, settings.net, trusted_proxies=settings.trusted_proxies)
            server = Server(config, app.drain, on_started=started)
            await _until_displaced(app, server, listener)


async def _until_displaced(app: App, server: Server, listener: socket.socket) -> None:
    def leave(_: "asyncio.Task[None]") -> None:
        server.should_exit = True

    displaced = asyncio.create_task(app.displaced(), name="displaced")
    displaced.add_done_callback(leave)
    try:
        await server.serve(sockets=[listener])
        if displaced.done():
            raise Displaced
    finally:
        displaced.cancel()


def greeting(settings: Settings, serving: Serving) -> str:
    """What a person reads who started it."""
    lines = [f"Parley {serving.version} serves at {serving.url} (Ctrl-C ends it)."]
    if settings.public_url is not None:
        lines.append(f"Others reach it at {settings.public_url}{settings.base_path}.")
    if settings.development:
        lines.append(f"Open {serving.url} in a browser to chat with it,")
        lines.append('or talk to it from another terminal: .venv/bin/parley chat "hello"')
    return "\n".join(lines)
