"""What a client may do before the application or a WebSocket has it."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from server.net.http import Http
from server.net.options import Options
from tests.server.net.echo import echo
from tests.support.rawsocket import ACCEPT, TEXT, HungUp, RawSocket, error_of, masked, request
from tests.support.serving import Served, serving
from tests.support.waiting import until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
SOON = Options(header_s=0.1, body_s=0.1, close_s=0.1)


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what was asked for, and its body; over a WebSocket, echo."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    body = (await receive())["body"]
    said = f"{scope['method']} {scope['path']}".encode() + body
    size = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": size})
    await send({"type": "http.response.body", "body": said})


async def status(*pieces: bytes, options: Options | None = None) -> int:
    """What a first request is answered with; 0 if the server only hangs up."""
    async with serving(echo, options) as served, await RawSocket.connect(served.port) as client:
        await client.send(*pieces)
        try:
            response = await client.response()
        except HungUp:
            return 0
        if response.status >= 400:
            await client.hung_up()
            error_of(response)
        return response.status


async def test_requests_follow_each_other_on_one_connection() -> None:
    """Also pipelined, and with bodies in pieces."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        for body in (b"", b"abc", b"x" * 100_000):
            await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body), body)
            assert (await client.response()).body == body
        await client.send(GET * 5)
        assert [(await client.response()).status for _ in range(5)] == [200] * 5


async def connected(served: Served) -> Http:
    """The server's side of the only connection."""
    await until(lambda: served.server.server_state.connections)
    (connection,) = served.server.server_state.connections
    assert isinstance(connection, Http)
    return connection


# Time


async def test_a_silent_connection_is_closed() -> None:
    """Without a word: nothing was asked (H1)."""
    assert await status(b"", options=SOON) == 0


@pytest.mark.parametrize("begun", [b"G", GET[:-2], b"\r\n", request()[:-2]])
async def test_a_head_that_is_not_complete_in_time_is_refused(begun: bytes) -> None:
    """However often a byte comes, for the time counts from its beginning (H2)."""
    assert await status(begun, options=SOON) == 408


async def test_trickling_buys_no_time() -> None:
    """The deadline is not moved by what comes before it."""
    async with serving(echo, SOON) as served, await RawSocket.connect(served.port) as client:

        async def trickle() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0)

        await client.send(b"GET /")
        trickling = asyncio.ensure_future(trickle())
        assert (await client.response()).status == 408
        trickling.cancel()


async def test_a_second_request_has_its_own_deadline() -> None:
    """It begins with its first byte; line ends between requests are none."""
    options = Options(header_s=0.1, keep_alive_s=1)
    async with serving(echo, options) as served, await RawSocket.connect(served.port) as client:
        await client.send(GET)
        assert (await client.response()).status == 200
        await client.send(GET[:-2])
        assert (await client.response()).status == 408


async def test_a_body_that_does_not_come_is_refused() -> None:
    """The application, which waits for it, is told that the client is gone (B3)."""
    seen = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (event := await receive())["type"] == "http.request":
            pass
        seen.set_result(event["type"])

    async with serving(app, SOON) as served, await RawSocket.connect(served.port) as client:
        await client.send(POST + b"Content-Length: 9\r\n\r\nabc")
        assert (await client.response()).status == 408
        await client.hung_up()
        assert await asyncio.wait_for(seen, 5) == "http.disconnect"


async def test_a_body_that_keeps_coming_has_time() -> None:
    """Each deadline asks for a piece of it, not for all."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        http = await connected(served)
        await client.send(POST + b"Content-Length: 40001\r\n\r\n")
        for _ in range(2):
            await client.send(b"x" * 20_000)
            await until(lambda: http._body_bytes == 20_000)
            http._late()
        await client.send(b"x")
        assert len((await client.response()).body) == 40_001


async def test_a_client_is_not_blamed_for_a_slow_application() -> None:
    """While we do not read, no deadline counts."""
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(POST + b"Content-Length: 100000\r\n\r\n", b"x" * 99_999)
        http = await connected(served)
        await until(lambda: http.flow.read_paused)
        http._late()
        http._late()
        go_on.set()
        await client.send(b"x")
        assert len((await client.response()).body) == 100_000


# Size


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET[:-2] + b"X: " + b"x" * 20_000 + b"\r\n\r\n", id="a long header"),
        pytest.param(GET[:-2] + b"X: " + b"x" * 3_000_000, id="a header without end"),
        pytest.param(GET[:-2] + b"x" * 3_000_000, id="a name without end"),
        pytest.param(GET[:-2] + b"a: b\r\n" * 64 + b"\r\n", id="many headers"),
        pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n", id="a long target"),
        pytest.param(b"GET /" + b"x" * 3_000_000, id="a target without end"),
        pytest.param(b"\r\n" * 1_000_000, id="nothing without end"),
        pytest.param(request(headers=["X: " + "x" * 20_000]), id="of a handshake"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100, id="trailers"
        ),
    ],
)
async def test_a_head_beyond_the_limits_is_refused(head: bytes) -> None:
    """431, which the client can read although it is still sending."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        sending = asyncio.ensure_future(client.send(head))
        assert (await client.response()).status == 431
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_body_in_one_piece_with_its_head_does_not_count_as_head() -> None:
    """A read may bring both."""
    body = b"x" * 60_000
    assert await status(POST + b"Content-Length: 60000\r\n\r\n", body) == 200


async def test_a_thousand_requests_at_once_are_hung_up_on() -> None:
    """One read could else make thousands of tasks."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        await client.send(GET * 1000)
        await client.hung_up()
        async with await RawSocket.connect(served.port) as other:
            await other.send(GET)
            assert (await other.response()).status == 200


# Form

MALFORMED = {
    "length and encoding": POST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length twice": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"Content-Length: +3\r\n\r\nabc",
    "a length past 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "two encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "an unknown encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, then another": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "another coding, then chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity, then chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked on two lines": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "codings on two lines": POST
    + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "a target of another host": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target of another port": b"GET http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a user": b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "a target of another host in 1.0": b"GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n",
    "a target with a host, and no Host": b"GET http://a/ HTTP/1.0\r\n\r\n",
    "a handshake at another host": request("http://a/ws"),
    "encoding in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF behind a header": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "bare LF in chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "a chunk past 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "folded header": GET[:-2] + b"X: y\r\n  z\r\n\r\n",
    "header folded by a tab": GET[:-2] + b"X: y\r\n\tz\r\n\r\n",
    "space before the colon": GET[:-2] + b"X : y\r\n\r\n",
    "no colon": GET[:-2] + b"X\r\n\r\n",
    "NUL": GET[:-2] + b"X: \x00\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a target beyond ASCII": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown method": b"GTE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a1"),
    "a handshake in 1.0": request().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a handshake that posts": request().replace(b"GET", b"POST"),
    "a handshake without target": request("http://a"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_two_parsers_may_read_differently_is_refused(name: str) -> None:
    """400, and nothing of it reaches an application (B2)."""
    assert await status(MALFORMED[name]) == 400


SOUND = {
    "a target of the same host": b"GET http://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "a target of the same host with a query": b"GET http://a/?b HTTP/1.1\r\nHost: a\r\n\r\n",
    "all of the server": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunks in capitals": POST + b"Transfer-Encoding: Chunked \r\n\r\n0\r\n\r\n",
    "a handshake at the same host": request("http://127.0.0.1/ws"),
}


@pytest.mark.parametrize("name", SOUND)
async def test_what_can_be_read_in_one_way_is_taken(name: str) -> None:
    """A proxy may send either form of the target."""
    assert await status(SOUND[name]) in (101, 200)


async def test_an_answer_under_way_is_not_talked_into() -> None:
    """What is refused behind it ends the connection without a second status line."""
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = [(b"content-length", b"10")]
        await send({"type": "http.response.start", "status": 200, "headers": size})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        begun.set()
        await receive()
        await receive()

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(GET)
        await begun.wait()
        await client.send(b"\xff\xff\r\n\r\n")
        assert (await client.hung_up()).endswith(b"\r\n\r\nbegun")


# Other upgrades

OTHER = b"Connection: Upgrade\r\nUpgrade: %b\r\n"
OTHERS = [b"foo", b"h2c", b"websocket/13", b"TLS/1.0, HTTP/1.1", b"web socket"]


@pytest.mark.parametrize("protocol", [*OTHERS, b""])
async def test_another_upgrade_is_answered_as_if_it_had_not_been_asked_for(protocol: bytes) -> None:
    """The client may go on without it (RFC 9110, 7.8), at once or once it has the answer."""
    upgrade = GET[:-2] + OTHER % protocol
    async with serving(told) as served, await RawSocket.connect(served.port) as client:
        for behind in (b"", b"Content-Length: 0\r\n"):
            await client.send(upgrade + behind + b"\r\n")
            assert (await client.response()).body == b"GET /"
        await client.send((upgrade + b"\r\n") * 3 + GET)
        assert [(await client.response()).body for _ in range(4)] == [b"GET /"] * 4
        await client.send(POST + b"Content-Length: 3\r\n\r\nabc")
        assert (await client.response()).body == b"POST /abc"
        await client.open()
        await client.send(masked(TEXT, b"and then ours"))
        assert await client.text() == "and then ours"


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
ANNOUNCED = {
    "a length": b"Content-Length: %d\r\n" % len(SMUGGLED),
    "a length behind zeros": b"Content-Length: 00%d\r\n" % len(SMUGGLED),
    "chunks": b"Transfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("announced", ANNOUNCED)
@pytest.mark.parametrize("protocol", OTHERS)
async def test_no_request_is_smuggled_in_the_body_of_another_upgrade(
    protocol: bytes, announced: str, together: bool
) -> None:
    """The parser would take that body for the next request, which a proxy has not seen."""
    head = POST + OTHER % protocol + ANNOUNCED[announced] + b"\r\n"
    async with serving(told) as served, await RawSocket.connect(served.port) as client:
        await client.send(head + SMUGGLED if together else head)
        assert error_of(await client.response()) == (400, "invalid_frame")
        if not together:
            await client.send(SMUGGLED)
        assert await client.hung_up() == b""


@pytest.mark.parametrize("target", [b"a:1", b"/", b"*", b"http://a/", b"//a"])
@pytest.mark.parametrize("more", [b"", OTHER % b"websocket", b"Content-Length: 3\r\n"])
async def test_no_tunnel_is_opened(target: bytes, more: bytes) -> None:
    """The parser takes whatever follows for the tunnel's, however the target looks."""
    head = b"CONNECT " + target + b" HTTP/1.1\r\nHost: a\r\n" + more + b"\r\n"
    async with serving(told) as served, await RawSocket.connect(served.port) as client:
        await client.send(head + SMUGGLED)
        assert error_of(await client.response()) == (400, "invalid_frame")
        assert await client.hung_up() == b""


# Handshakes


@pytest.mark.parametrize(
    ("handshake", "expected"),
    [
        (request(headers=["Sec-WebSocket-Version: 8"], without=["Sec-WebSocket-Version"]), 426),
        (request(without=["Sec-WebSocket-Key"]), 400),
        (request(headers=["Sec-WebSocket-Key: c2hvcnQ="], without=["Sec-WebSocket-Key"]), 400),
        (request(headers=["Sec-WebSocket-Protocol: " + ", ".join("ab" * 50)]), 400),
        (request(headers=["Sec-WebSocket-Protocol: " + "a" * 8192]), 400),
    ],
)
async def test_a_handshake_that_is_none_is_refused(handshake: bytes, expected: int) -> None:
    """Before anybody is asked about it (H6, H8)."""
    assert await status(handshake) == expected


@pytest.mark.parametrize(
    ("lines", "upgraded"),
    [
        (["Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"], True),
        (["Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket"], True),
        (["Connection: keep-alive, upgrade", "Upgrade: WebSocket"], True),
        (["Connection: upgrade", "Upgrade: foo", "Upgrade: websocket"], True),
        (["Connection: upgrade", "Upgrade: foo, websocket"], True),
        (["Connection: keep-alive", "Upgrade: websocket"], False),
        (["Connection: Upgrade"], False),
    ],
)
async def test_a_header_is_one_list_over_all_its_lines(lines: list[str], upgraded: bool) -> None:
    """A proxy may join or part them (RFC 9110, 5.3)."""
    handshake = request(headers=lines, without=["Connection", "Upgrade"])
    assert await status(handshake) == (101 if upgraded else 200)


async def test_a_refusal_after_a_request_is_still_answered() -> None:
    """The connection has had its first answer, the handshake has not."""
    async with serving(echo) as served, await RawSocket.connect(served.port) as client:
        await client.send(GET)
        assert (await client.response()).status == 200
        await client.send(request(without=["Sec-WebSocket-Version"]))
        assert (await client.response()).headers["sec-websocket-version"] == "13"


async def test_an_upgrade_waits_for_the_answer_before_it() -> None:
    """Or the answer would fall among the frames."""
    asked = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        assert scope["type"] == "http"
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(GET)
        await asked.wait()
        await client.send(request())
        assert (await client.response()).status == 400
        assert await client.hung_up() == b""


async def test_an_upgrade_hands_over_what_the_client_asked_for() -> None:
    """The scope is ASGI's, with the wire in its extensions."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await send({"type": "websocket.accept", "subprotocol": "b"})
        await receive()
        await receive()

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        extra = ["Sec-WebSocket-Protocol: a, b", "X-Odd: \xe9"]
        response = await client.open("/ws%20x?ticket=t%20u", headers=extra)
    assert response.headers["sec-websocket-accept"] == ACCEPT
    assert response.headers["sec-websocket-protocol"] == "b"
    (scope,) = scopes
    assert scope["type"] == "websocket"
    assert scope["path"] == "/ws x"
    assert scope["raw_path"] == b"/ws%20x"
    assert scope["query_string"] == b"ticket=t%20u"
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["scheme"] == "ws"
    assert scope["client"][0] == "127.0.0.1"
    assert (b"x-odd", b"\xe9") in scope["headers"]
    assert set(scope["extensions"]) == {"websocket.http.response", "parley.wire"}


async def test_frames_sent_before_the_upgrade_are_held() -> None:
    """With the head, or while the application decides (H11)."""
    decide = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await decide.wait()
        await echo(scope, receive, send)

    async with serving(app) as served, await RawSocket.connect(served.port) as client:
        await client.send(request() + masked(TEXT, b"one"))
        await client.send(masked(TEXT, b"two"), masked(TEXT, b"x" * 60_000) * 4)
        asyncio.get_running_loop().call_later(0.05, decide.set)
        assert (await client.response()).status == 101
        assert [await client.text(), await client.text()] == ["one", "two"]
        assert [len(await client.text()) for _ in range(4)] == [60_000] * 4
