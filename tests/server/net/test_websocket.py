"""A WebSocket over a real socket, against a client that tidies nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected

from protocol.codes import CloseCode
from server.net.framing import framed
from server.net.options import Options
from server.net.websocket import WebSocket
from server.net.wire import WIRE, Wire
from tests.server.net.echo import echo
from tests.support import vectors
from tests.support.rawsocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    closing,
    error_of,
    masked,
    request,
)
from tests.support.serving import Served, serving
from tests.support.waiting import until

WIRED = [
    pytest.param(row, id=f"{row['class']} {row['name']}")
    for row in vectors.rows("refusals")
    if row["layer"] == "socket" and "wire" in row
]
OFFERED = [row for row in vectors.rows("refusals") if "offer" in row]
BRIEF = Options(close_s=0.1)


class Endpoint:
    """An application that only accepts; the test drives the wire and sees the events."""

    def __init__(self) -> None:
        self.events: list[Message] = []
        self.said: list[str] = []
        self._wire: Wire | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire: Wire = scope["extensions"][WIRE]
        wire.on_pong = lambda: self.said.append("pong")
        wire.on_writable = lambda: self.said.append("writable")
        await receive()
        await send({"type": "websocket.accept"})
        self._wire = wire
        while (event := await receive())["type"] != "websocket.disconnect":
            self.events.append(event)
        self.events.append(event)

    @property
    def wire(self) -> Wire:
        """Of the only connection, once it is open."""
        assert self._wire is not None
        return self._wire

    async def disconnected(self) -> int:
        """The code the application was told."""
        await until(lambda: self.events and self.events[-1]["type"] == "websocket.disconnect")
        code: int = self.events[-1]["code"]
        return code


async def gone(served: Served) -> None:
    """Wait until the server holds no connection."""
    await until(lambda: not served.server.server_state.connections)


async def fill(wire: Wire) -> int:
    """Write until the wire is not writable; how much that was."""
    written = 0
    while wire.writable:
        wire.write(framed(b"x" * 8192, binary=True))
        written += 8192
        await asyncio.sleep(0)
    return written


def backlog(wire: Wire) -> int:
    """How many bytes the kernel has not taken yet."""
    assert isinstance(wire, WebSocket)
    return wire.transport.get_write_buffer_size()


# The listed inputs


@pytest.mark.parametrize("row", WIRED)
async def test_hostile_frames_get_the_listed_code(row: vectors.Row) -> None:
    """And a second client is served meanwhile and afterwards."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as healthy:
        await healthy.open()
        async with await RawSocket.connect(served.port) as client:
            await client.open()
            await client.send(*(vectors.part_bytes(piece) for piece in row["wire"]))
            assert await client.close_code() == row["expect"]["close"]
            assert await client.hung_up() == b""
        await healthy.send(masked(TEXT, b"still here"))
        assert await healthy.text() == "still here"


@pytest.mark.parametrize("row", OFFERED, ids=lambda row: row["name"])
async def test_no_extension_is_ever_taken_up(row: vectors.Row) -> None:
    """A message of 16 KiB cannot become one of 16 MiB (F6)."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        response = await client.open(headers=[f"Sec-WebSocket-Extensions: {row['offer']}"])
        assert "sec-websocket-extensions" not in response.headers
        await client.send(masked(TEXT, b"plain"))
        assert await client.text() == "plain"


# Messages


async def test_messages_come_back_as_they_were_sent() -> None:
    """Text and bytes, empty and as large as may be."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        for payload in (b"", "ä€😀".encode(), b"x" * 65536):
            for opcode in (TEXT, BINARY):
                await client.send(masked(opcode, payload))
                assert await client.frame() == Frame(opcode, payload)


async def test_what_the_application_does_not_take_stays_with_the_client() -> None:
    """Reading stops at a bound, and goes on when all is taken."""
    take = asyncio.Event()
    count = 2000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await take.wait()
        for _ in range(count):
            await send({**await receive(), "type": "websocket.send"})
        await receive()

    options = Options(frames_per_s=10**6, bytes_per_s=10**9)
    async with serving(app, options) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        sending = asyncio.ensure_future(client.send(masked(BINARY, b"x" * 20_000) * count))
        (socket,) = served.server.server_state.connections
        assert isinstance(socket, WebSocket)
        await until(lambda: socket._inbox.full and not socket.transport.is_reading())
        assert len(socket._inbox._events) < 64
        take.set()
        for _ in range(count):
            assert len((await client.frame()).payload) == 20_000
        await sending


# Pings


async def test_a_ping_is_answered_with_the_same() -> None:
    """Whatever the application does."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await client.send(masked(PING, b"a"), masked(PING, b"x" * 125))
        assert await client.frame() == Frame(PONG, b"a")
        assert await client.frame() == Frame(PONG, b"x" * 125)


async def test_only_the_pong_of_the_latest_ping_counts() -> None:
    """Once; others, asked for or not, are nothing."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await until(lambda: endpoint._wire)
        await client.send(masked(PONG))
        endpoint.wire.ping()
        endpoint.wire.ping()
        old, new = (await client.frame()).payload, (await client.frame()).payload
        assert old != new
        await client.send(masked(PONG, old), masked(TEXT, b"1"))
        await until(lambda: len(endpoint.events) == 1)
        assert endpoint.said == []
        await client.send(masked(PONG, new), masked(PONG, new), masked(TEXT, b"2"))
        await until(lambda: len(endpoint.events) == 2)
        assert endpoint.said == ["pong"]


async def test_pongs_do_not_pile_up_before_a_client_that_does_not_read() -> None:
    """The newest one waits for room, and answers for all."""
    endpoint = Endpoint()
    options = Options(control_frames_per_s=10**6, frames_per_s=10**6)
    async with (
        serving(endpoint, options) as served,
        await RawSocket.connect(served.port, receive_buffer=4096) as client,
    ):
        await client.open()
        await until(lambda: endpoint._wire)
        await fill(endpoint.wire)
        before = backlog(endpoint.wire)
        await client.send(*(masked(PING, b"%d" % number) for number in range(1000)))
        await client.send(masked(TEXT, b"behind them"))
        await until(lambda: endpoint.events)
        assert backlog(endpoint.wire) <= before
        while (frame := await client.frame()).opcode != PONG:
            pass
        assert frame.payload == b"999"
        endpoint.wire.write(framed(b"end", binary=False))
        assert await client.text() == "end"


@pytest.mark.parametrize("frames", [masked(PING) * 101, masked(TEXT) * 1001])
async def test_a_flood_is_closed_with_4007(frames: bytes) -> None:
    """Which the client can read although it may still be sending."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await client.send(frames)
        assert await client.close_code() == CloseCode.RATE_LIMITED
        assert await endpoint.disconnected() == CloseCode.RATE_LIMITED


# Room


async def test_a_wire_tells_when_it_is_writable_again() -> None:
    """After the client has read; nothing is lost or reordered."""
    endpoint = Endpoint()
    async with (
        serving(endpoint) as served,
        await RawSocket.connect(served.port, receive_buffer=4096) as client,
    ):
        await client.open()
        await until(lambda: endpoint._wire)
        written = await fill(endpoint.wire)
        assert backlog(endpoint.wire) >= 32_768
        assert written < 1_000_000, "the kernel hides how slow the client is"
        assert endpoint.said == []
        for _ in range(written // 8192):
            assert len((await client.frame()).payload) == 8192
        await until(lambda: endpoint.said)
        assert endpoint.said == ["writable"]
        assert endpoint.wire.writable
        assert backlog(endpoint.wire) == 0


async def test_an_asgi_send_waits_for_room() -> None:
    """An application that only sends cannot fill our memory."""
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 8192})
            sent += 1

    async with (
        serving(app, BRIEF) as served,
        await RawSocket.connect(served.port, receive_buffer=4096) as client,
    ):
        await client.open()
        (socket,) = served.server.server_state.connections
        assert isinstance(socket, WebSocket)
        await until(lambda: socket._room)
        stalled_at = sent
        for _ in range(stalled_at):
            await client.frame()
        await until(lambda: sent > stalled_at)
        await until(lambda: socket._room)
        client.reset()
        await gone(served)
        await until(lambda: not served.server.server_state.tasks)


# Ends


async def test_a_close_of_ours_waits_for_the_peers() -> None:
    """What the peer sent before it saw ours is not for anybody."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await until(lambda: endpoint._wire)
        endpoint.wire.close(CloseCode.SLOW_CONSUMER)
        endpoint.wire.close(CloseCode.NORMAL)
        assert not endpoint.wire.writable
        endpoint.wire.write(b"not sent")
        endpoint.wire.ping()
        assert await client.frame() == Frame(CLOSE, b"\x0f\xa4slow consumer")
        assert await endpoint.disconnected() == CloseCode.SLOW_CONSUMER
        await client.send(masked(TEXT, b"crossed"), masked(PING))
        assert endpoint.said == []
        await client.send(closing(4004))
        assert await client.hung_up() == b""
        client.stop_sending()
        await gone(served)
        assert endpoint.said == []
        assert len(endpoint.events) == 1


@pytest.mark.parametrize("reads", [True, False])
async def test_a_peer_that_does_not_answer_our_close_is_cut_off(reads: bool) -> None:
    """Also one that has not even taken what stands before it (F24)."""
    endpoint = Endpoint()
    async with (
        serving(endpoint, BRIEF) as served,
        await RawSocket.connect(served.port, receive_buffer=4096) as client,
    ):
        await client.open()
        await until(lambda: endpoint._wire)
        if not reads:
            await fill(endpoint.wire)
        endpoint.wire.close(CloseCode.SLOW_CONSUMER)
        await gone(served)
        assert await client.close_code() == (CloseCode.SLOW_CONSUMER if reads else 1006)


@pytest.mark.parametrize(
    "last", [masked(TEXT, b"\xff"), closing(1000), b"\xff\xff"], ids=["1007", "close", "1002"]
)
async def test_a_peer_that_does_not_hang_up_is_cut_off(last: bytes) -> None:
    """After its own close, or its fault, it has the same time."""
    endpoint = Endpoint()
    async with serving(endpoint, BRIEF) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await client.send(last)
        await endpoint.disconnected()
        await gone(served)


LEAVE: dict[str, tuple[Callable[[RawSocket], Awaitable[object] | None], int]] = {
    "a close": (lambda client: client.send(closing(1001, b"bye")), 1001),
    "a close without code": (lambda client: client.send(masked(CLOSE)), 1005),
    "FIN": (RawSocket.stop_sending, 1006),
    "RST": (RawSocket.reset, 1006),
}


@pytest.mark.parametrize("way", LEAVE)
async def test_however_a_peer_leaves_the_application_learns_it_once(way: str) -> None:
    """With the code that says how, after every message before it."""
    endpoint = Endpoint()
    leave, code = LEAVE[way]
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await client.send(masked(TEXT, b"last words"))
        await until(lambda: endpoint.events)
        if (leaving := leave(client)) is not None:
            await leaving
            await client.hung_up()
            client.stop_sending()
        assert await endpoint.disconnected() == code
        await gone(served)
        assert [event.get("text") for event in endpoint.events] == ["last words", None]


async def test_an_abort_leaves_at_once() -> None:
    """Without a close frame."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await until(lambda: endpoint._wire)
        endpoint.wire.abort()
        assert await client.close_code() == 1006
        await gone(served)
        assert backlog(endpoint.wire) == 0


# Applications


async def test_a_refusal_is_a_whole_response() -> None:
    """With the application's status, headers and body; frames sent meanwhile change nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"retry-after", b"3")]
        start = {"type": "websocket.http.response.start", "status": 503, "headers": headers}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"now"})
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "x"})

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(request() + masked(TEXT, b"early") * 100)
        response = await client.response()
        assert (response.status, response.body) == (503, b"not now")
        assert response.headers["retry-after"] == "3"
        assert await client.hung_up() == b""


async def test_a_close_before_the_upgrade_is_a_403() -> None:
    """As ASGI has it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(request())
        assert error_of(await client.response()) == (403, "forbidden")


async def fails_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """It never decides."""
    raise LookupError


async def never_answers(scope: Scope, receive: Receive, send: Send) -> None:
    """It returns without a decision."""


async def fails_later(scope: Scope, receive: Receive, send: Send) -> None:
    """It accepts first."""
    await send({"type": "websocket.accept"})
    raise LookupError


async def test_an_application_that_fails_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500 or 1011, the log the reason."""
    for app in (fails_at_once, never_answers):
        async with serving(app) as served, await RawSocket.connect(served.port) as client:
            await client.send(request())
            assert error_of(await client.response()) == (500, "internal")
    async with serving(fails_later) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        assert await client.close_code() == 1011
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


async def test_limits_that_cannot_be_set_fail_before_the_upgrade() -> None:
    """Behind a 101 there is no way to say so; settings that contradict each other do not start."""
    options = Options(high_water_bytes=4096, low_water_bytes=8192)
    async with serving(echo, options) as served, await RawSocket.connect(served.port) as client:
        await client.send(request())
        assert error_of(await client.response()) == (500, "internal")
        assert await client.hung_up() == b""


async def test_messages_out_of_order_are_the_applications_fault() -> None:
    """The error names what was sent and how far the connection was."""
    errors = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for kind in ("websocket.send", "websocket.accept", "websocket.accept"):
            try:
                await send({"type": kind, "text": ""})
            except RuntimeError as error:
                errors.append(str(error))
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": ""})

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        assert await client.close_code() == 1000
    assert errors == [
        "websocket.send is not legal while a WebSocket is asked",
        "websocket.accept is not legal while a WebSocket is open",
    ]


async def test_a_client_that_leaves_before_the_upgrade_is_noticed() -> None:
    """Whoever accepts it then is told."""
    told = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"
        told.set()
        await send({"type": "websocket.accept"})

    async with serving(app) as served:
        async with await RawSocket.connect(served.port) as client:
            await client.send(request())
        await asyncio.wait_for(told.wait(), 5)
        await gone(served)


async def test_a_socket_knows_its_peer() -> None:
    """The address that a limit counts by."""
    endpoint = Endpoint()
    async with serving(endpoint) as served, await RawSocket.connect(served.port) as client:
        await client.open()
        await until(lambda: endpoint._wire)
        assert endpoint.wire.peer == "127.0.0.1"


async def test_nothing_of_a_request_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the query, which may hold a ticket, nor a header or a message, at any level."""
    with caplog.at_level(logging.DEBUG):
        async with serving(echo) as served:
            secret = ["Sec-WebSocket-Protocol: secret", "Authorization: Bearer secret"]
            async with await RawSocket.connect(served.port) as client:
                await client.open("/ws?ticket=secret", headers=secret)
                await client.send(masked(TEXT, b"secret"))
                assert await client.text() == "secret"
                await client.send(closing(1000, b"secret"))
                await client.hung_up()
            for hostile in (
                request("/ws?ticket=secret", without=["Sec-WebSocket-Key"]),
                b"GET /?ticket=secret HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /?ticket=secret HTTP/1.1\r\nHost: a\r\nsecret\r\n\r\n",
                b"GET /?ticket=secret HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                b"Upgrade: secret\r\n\r\n",
            ):
                async with await RawSocket.connect(served.port) as client:
                    await client.send(hostile)
                    await client.response()
    assert "secret" not in caplog.text
    assert "uvicorn" not in caplog.text
