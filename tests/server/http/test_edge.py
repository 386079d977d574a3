"""What every request meets before and after its route."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from protocol.codes import ErrorCode
from server.auth.doors import Doors
from server.errors import ChatError
from server.http.edge import PREFLIGHT, Edge
from server.http.routes import application
from tests.server.http.world import World
from tests.support.asgi import Client, Gone
from tests.support.logs import logging_to_memory

CANARY = "my dog is called Wotan"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


async def fail(_: Request) -> Response:
    raise ValueError(CANARY)


async def fail_late(request: Request) -> Response:
    class Late(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ValueError(CANARY)

    return Late()


async def refuse(_: Request) -> Response:
    raise ChatError(ErrorCode.BUSY, "It is busy.", retry_after_ms=1500)


async def read(request: Request) -> Response:
    return Response(await request.body(), headers={"Cache-Control": "private"})


async def public(_: Request) -> Response:
    return Response("x", headers={"Access-Control-Allow-Origin": "*"})


@pytest.fixture
def client() -> Client:
    doors = Doors(development=True)
    routes = [
        Route("/fail", fail),
        Route("/fail-late", fail_late),
        Route("/refuse", refuse, methods=["GET", "POST"]),
        Route("/read", read, methods=["POST"]),
        Route("/public", public),
    ]
    return Client(Edge(Router(routes, redirect_slashes=False), doors, public=["/public"]))


async def test_every_answer_is_traced_and_guarded(world: World) -> None:
    """Also a refusal, a page that is not there, and a document."""
    for target in ("/", "/health", "/nothing", "/health?token=x", "/asyncapi.json"):
        headers = (await world.get(target)).headers
        assert len(headers["x-request-id"]) == 32
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert "cache-control" in headers
        assert "set-cookie" not in headers


async def test_a_callers_trace_is_continued(world: World) -> None:
    """And one that is none is not repeated."""
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    assert (await world.get("/health", traceparent=parent)).headers["x-request-id"] == TRACE
    forged = (await world.get("/health", traceparent=CANARY)).headers["x-request-id"]
    assert CANARY not in forged


async def test_an_unknown_path_is_not_found(world: World) -> None:
    """And is not repeated, whatever it holds."""
    for target in (
        "/nothing",
        "/api/v1/%00",
        "/%2e%2e/etc",
        f"/{'x' * 5000}",
        "//health",
        "/health/",
    ):
        answer = await world.get(target)
        assert answer.error() == (404, "not_found")
        assert len(answer.body) < 300


async def test_a_wrong_method_is_told_the_right_ones(world: World) -> None:
    """By the header that is there for it."""
    answer = await world.send("DELETE", "/health")
    assert answer.error() == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert (await world.get("/api/v1/visitors")).headers["allow"] == "POST"


@pytest.mark.parametrize(
    "query",
    ["token=x", f"x={JWT}", f"ticket={JWT}", "a=1&ACCESS_TOKEN=x", "%74oken=x", "jwt"],
)
async def test_a_token_in_the_url_is_refused(world: World, query: str) -> None:
    """It would stand in the logs of every proxy on the way."""
    for target in ("/health", "/api/v1/tickets", "/nothing"):
        assert (await world.get(f"{target}?{query}")).error() == (400, "token_in_query")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "https://chat.example.evil.example",
        "https://xn--cht-hoa.example",
        "https://chаt.example".encode().decode("latin-1"),
        "http://chat.example",
        "https://chat.example:8443",
        "https://chat.example/",
        "https://user@chat.example",
        "https://chat.example, https://evil.example",
    ],
)
async def test_a_foreign_origin_is_turned_away(world: World, origin: str) -> None:
    """From every path but the probes, preflights too, and no page may read the answer."""
    for target in ("/health", "/api/v1/visitors", "/nothing"):
        for method in ("GET", "POST", "OPTIONS"):
            answer = await world.send(
                method, target, origin=origin, access_control_request_method="POST"
            )
            assert answer.error() == (403, "forbidden")
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://chat.example", "HTTPS://Chat.Example", "https://chat.example:443"]
)
async def test_a_page_that_is_let_in_may_read_the_answer(world: World, origin: str) -> None:
    """The exact Origin is repeated, never a wildcard, and no credentials are spoken of."""
    for target in ("/health", "/nothing"):
        headers = (await world.get(target, origin=origin)).headers
        assert headers["access-control-allow-origin"] == origin
        assert "Retry-After" in headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in headers
        assert "Origin" in headers["vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9"])
async def test_what_is_public_is_the_same_for_every_page(client: Client, origin: str) -> None:
    """A cache may hand on what it has; a name that is not ours is turned away as everywhere."""
    headers = {"host": "localhost", "origin": origin}
    answer = await client.get("/public", headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "vary" not in answer.headers
    refused = await client.get("/public", {**headers, "host": "evil.example"})
    assert refused.error() == (403, "forbidden")


async def test_a_preflight_is_answered_for_the_pages_of_sites_too(world: World) -> None:
    """What a browser asks before it posts JSON across origins."""
    answer = await world.send(
        "OPTIONS",
        "/api/v1/visitors",
        origin="https://shop.example",
        access_control_request_method="POST",
        access_control_request_headers="content-type",
    )
    assert answer.status == 204
    assert answer.body == b""
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    for name, value in PREFLIGHT.items():
        assert answer.headers[name] == value


async def test_options_without_a_question_is_a_method_like_any_other(world: World) -> None:
    """No preflight: the path does not have it."""
    answer = await world.send("OPTIONS", "/api/v1/visitors", origin="https://chat.example")
    assert answer.error() == (405, "method_not_allowed")


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.7", "localhost.evil.example", ""])
async def test_a_foreign_host_is_turned_away(loopback: World, host: str) -> None:
    """A name that an attacker bound to our address would make its page one of ours."""
    answer = await loopback.client.get("/health", {"host": host})
    assert answer.error() == (403, "forbidden")


async def test_probes_come_by_any_name(loopback: World) -> None:
    """Whoever watches the process may know it by another."""
    for target in ("/health/live", "/health/ready"):
        assert (await loopback.client.get(target, {"host": "10.0.0.7:8000"})).status == 200


async def test_a_header_that_is_there_twice_is_refused(world: World) -> None:
    """A proxy and we could each believe another one."""
    for name in ("host", "origin"):
        pairs = [("host", "chat.example"), (name, "chat.example")]
        if name == "origin":
            pairs.append((name, "https://chat.example"))
        answer = await world.client.request("GET", "/health", pairs)
        assert answer.error() == (400, "invalid_frame")


async def test_a_failure_is_told_by_its_trace_alone(client: Client) -> None:
    """The log has what it was; neither has what it said."""
    with logging_to_memory() as log:
        answer = await client.get("/fail")
        [line] = log.lines()
    assert answer.error() == (500, "internal")
    assert CANARY not in answer.body.decode()
    assert (line["event"], line["route"]) == ("a request failed", "/fail")
    assert line["trace"] == answer.headers["x-request-id"]
    assert line["exception"].startswith("ValueError\n  at tests/server/http/test_edge.py:")
    assert CANARY not in str(line)


async def test_a_failure_in_the_midst_of_an_answer_is_written_down(client: Client) -> None:
    """There is no second answer; the server ends the connection."""
    with logging_to_memory() as log:
        answer = await client.get("/fail-late")
        [line] = log.lines()
    assert answer.status == 200
    assert line["event"] == "a request failed"


async def test_a_client_that_leaves_is_no_failure(client: Client) -> None:
    """Nobody is there to be answered."""
    with logging_to_memory() as log:
        with pytest.raises(Gone):
            await client.request("POST", "/read", body=[b"x"], ends=False, leaves=True)
        assert log.lines() == []


async def test_a_refusal_says_when_to_come_back(client: Client) -> None:
    """In milliseconds for programs, in seconds for everything else."""
    answer = await client.get("/refuse")
    assert answer.error() == (409, "busy")
    assert answer.json()["error"]["retry_after_ms"] == 1500
    assert answer.headers["retry-after"] == "2"


async def test_a_body_that_nobody_read_ends_the_connection(client: Client) -> None:
    """Its rest would be taken for the next request."""
    length = {"content-length": "1000"}
    unread = await client.request("POST", "/refuse", length, [b"x" * 1000])
    assert unread.headers["connection"] == "close"
    chunked = await client.request("POST", "/refuse", {"transfer-encoding": "chunked"}, [b"x"])
    assert chunked.headers["connection"] == "close"
    read = await client.request("POST", "/read", {"content-length": "1"}, [b"x"])
    assert "connection" not in read.headers
    empty = await client.request("POST", "/refuse", {"content-length": "0"})
    assert "connection" not in empty.headers


async def test_what_a_route_says_of_caching_stands(client: Client) -> None:
    """Only where it says nothing, nothing is kept."""
    assert (await client.request("POST", "/read")).headers["cache-control"] == "private"
    assert (await client.get("/refuse")).headers["cache-control"] == "no-store"


async def test_the_application_answers_below_its_base_path(world: World) -> None:
    """And without it, where a proxy cuts it off; probes too, without a name."""
    world.change(base_path="/chat")
    for target in ("/chat/health", "/health", "/chat/", "/chat", "/"):
        assert (await world.get(target)).status == 200
    assert (await world.client.get("/chat/health/live", {"host": "10.0.0.7"})).status == 200
    for target in ("/chatter/health", "/chat/chat/health", "/other"):
        assert (await world.get(target)).error() == (404, "not_found")


async def test_a_socket_passes_through(world: World) -> None:
    """The edge is HTTP's; a socket's endpoint has doors of its own."""
    seen: list[str] = []

    class Socket:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["root_path"])

    world.change(base_path="/chat")
    app = application(world.parts, [WebSocketRoute("/ws", Socket())])
    for path in ("/chat/ws", "/ws"):
        socket: dict[str, object] = {
            "type": "websocket",
            "path": path,
            "root_path": "",
            "headers": [],
        }
        await app(socket, _never, _drop)
    assert seen == ["/chat", "/chat"]


async def test_the_lifespan_passes_through(world: World) -> None:
    """Whoever serves the application may open and close it."""
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    told: list[str] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        told.append(message["type"])

    await application(world.parts)({"type": "lifespan", "state": {}}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def _never() -> Message:
    raise AssertionError


async def _drop(_: Message) -> None:
    pass
