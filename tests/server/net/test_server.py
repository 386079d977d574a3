"""The server as a whole: its listening socket, its configuration, its end."""

import asyncio
import itertools
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from server.net.options import Options
from server.net.server import ACCEPTED_AT_ONCE, CannotListen, Server, listen, server_config
from server.net.wire import WIRE, Wire
from tests.server.net.echo import echo
from tests.support.rawsocket import TEXT, RawSocket, closing, masked
from tests.support.serving import serving
from tests.support.waiting import until

# Listening


def test_an_address_that_is_taken_says_what_to_do() -> None:
    """The sentence names the address and the way out."""
    with listen("127.0.0.1", 0, Options()) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1, port {port}: .*choose another"):
            listen("127.0.0.1", port, Options())


def test_a_name_that_is_none_says_so_too() -> None:
    """Not a traceback of the resolver."""
    with pytest.raises(CannotListen, match=r"Cannot listen on no\.such\.host\.invalid"):
        listen("no.such.host.invalid", 0, Options())


def test_six_as_well_as_four() -> None:
    """An address with a colon is one of IPv6."""
    with listen("::1", 0, Options()) as listener:
        assert listener.family == socket.AF_INET6


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no such option")
async def test_accepted_connections_inherit_the_sockets_options() -> None:
    """So that the kernel drops a peer that takes nothing, hides little, and delays nothing."""
    options = Options(user_timeout_s=21, send_buffer_bytes=16384)
    async with serving(echo, options) as served, await RawSocket.connect(served.port):
        await until(lambda: served.server.server_state.connections)
        (connection,) = served.server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 21_000
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 16384
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_many_who_come_at_once_are_taken_in_a_few_at_a_time() -> None:
    """Between them the loop does what it has to do; and all may wait, though few are taken."""
    many = 50
    async with serving(echo, Options()) as served:
        entered: list[int] = []
        state = served.server.server_state.connections

        def look() -> None:
            entered.append(len(state))
            if len(state) < many:
                asyncio.get_running_loop().call_soon(look)

        sockets = [socket.socket() for _ in range(many)]
        for each in sockets:
            each.connect(("127.0.0.1", served.port))  # the kernel does, and nobody accepts yet
        look()
        await until(lambda: len(state) == many)
        for each in sockets:
            each.close()
    steps = [after - before for before, after in itertools.pairwise(entered)]
    assert max(steps) <= ACCEPTED_AT_ONCE


# Proxies


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.7"), (["::1"], "127.0.0.1")],
)
async def test_only_a_trusted_proxy_names_the_client(trusted: list[str], peer: str) -> None:
    """Anybody else may write what he likes into that header."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        wire: Wire = scope["extensions"][WIRE]
        before = wire.peer
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"{before} {wire.peer}"})
        await receive()
        await receive()

    async with (
        serving(app, trusted_proxies=trusted) as served,
        await RawSocket.connect(served.port) as client,
    ):
        await client.open(headers=["X-Forwarded-For: 198.51.100.1, 203.0.113.7"])
        assert await client.text() == f"{peer} {peer}"


# The end


class Program:
    """The server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """What it says next; empty at its end."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode().strip()

    async def status(self) -> int:
        """Its exit status, once it has ended."""
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def started(drain_s: float, *through: str) -> AsyncIterator[Program]:
    """A server whose drain takes that long, started through another program perhaps."""
    process = await asyncio.create_subprocess_exec(
        *through,
        sys.executable,
        *("-m", "tests.server.net.server_program", str(drain_s)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_at_a_signal_it_drains_then_closes_then_exits_with_0() -> None:
    """While it drains, who is connected is served, and nobody else is let in."""
    async with started(0.5) as program:
        port = int(await program.line())
        async with await RawSocket.connect(port) as client:
            await client.open()
            program.process.send_signal(signal.SIGTERM)
            assert await program.line() == "draining"
            await client.send(masked(TEXT, b"still served"))
            assert await client.text() == "still served"
            with pytest.raises(ConnectionRefusedError):
                await RawSocket.connect(port)
            assert await client.close_code() == 1012
            await client.send(closing(1012))
            client.stop_sending()
            assert [await program.line() for _ in range(3)] == ["drained", "ended", ""]
            assert await program.status() == 0


@pytest.mark.parametrize("insist", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts_the_drain_short(insist: signal.Signals) -> None:
    """And the process dies of it, so that whoever watches sees that it was not orderly."""
    async with started(60) as program:
        port = int(await program.line())
        async with await RawSocket.connect(port) as client:
            await client.open()
            program.process.send_signal(signal.SIGTERM)
            assert await program.line() == "draining"
            program.process.send_signal(insist)
            assert await client.close_code() == 1006
            assert await program.line() == ""
            assert await program.status() != 0


@pytest.fixture
def hangups() -> Iterator[None]:
    """What is started heeds them, however the tests were started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
async def test_a_terminal_that_closes_is_a_signal_and_never_insists() -> None:
    """The kernel and the shell each send a hangup, and the drain goes on."""
    async with started(0.5) as program:
        port = int(await program.line())
        async with await RawSocket.connect(port) as client:
            await client.open()
            program.process.send_signal(signal.SIGHUP)
            assert await program.line() == "draining"
            program.process.send_signal(signal.SIGHUP)
            await client.send(masked(TEXT, b"still served"))
            assert await client.text() == "still served"
            assert await client.close_code() == 1012
            client.stop_sending()
            assert [await program.line() for _ in range(3)] == ["drained", "ended", ""]
            assert await program.status() == 0


@pytest.mark.usefixtures("hangups")
async def test_a_hangup_does_not_cut_short_what_another_signal_began() -> None:
    """Whoever asked it to end may log out while it drains."""
    async with started(0.5) as program:
        port = int(await program.line())
        async with await RawSocket.connect(port) as client:
            await client.open()  # from now on signals are heeded
        program.process.send_signal(signal.SIGTERM)
        assert await program.line() == "draining"
        program.process.send_signal(signal.SIGHUP)
        assert [await program.line() for _ in range(3)] == ["drained", "ended", ""]
        assert await program.status() == 0


async def test_what_was_started_to_outlive_its_terminal_does() -> None:
    """Under nohup a hangup is ignored from the start, and stays so."""
    async with started(0, "nohup") as program:
        port = int(await program.line())
        async with await RawSocket.connect(port) as client:
            await client.open()
            program.process.send_signal(signal.SIGHUP)
            await client.send(masked(TEXT, b"still served"))
            assert await client.text() == "still served"
        program.process.send_signal(signal.SIGTERM)
        assert await program.line() == "draining"


@pytest.mark.usefixtures("hangups")
def test_a_server_leaves_the_hangup_as_it_found_it() -> None:
    """Where none came."""

    async def drain() -> None:
        """Nobody asks for it."""

    with Server(server_config(echo, Options()), drain).capture_signals():
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_a_drain_that_fails_does_not_keep_the_server_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and what is left is closed."""

    async def drain() -> None:
        raise LookupError

    options = Options()
    listener = listen("127.0.0.1", 0, options)
    server = Server(server_config(echo, options), drain)
    running = asyncio.ensure_future(server.serve([listener]))
    async with await RawSocket.connect(listener.getsockname()[1]) as client:
        await client.open()
        server.should_exit = True
        assert await client.close_code() == 1012
        client.stop_sending()
        await asyncio.wait_for(running, 20)
    assert [record.message for record in caplog.records] == [
        "The drain failed; closing without it."
    ]


async def test_what_outlasts_the_end_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """A request that never ends has so many seconds after the drain, and no more."""
    cut = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    options = Options(graceful_s=1)
    async with serving(app, options) as served, await RawSocket.connect(served.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: served.server.server_state.tasks)
        await served.server.shutdown()
        await asyncio.wait_for(cut.wait(), 5)
    assert "Cancel 1 running task" in caplog.text
