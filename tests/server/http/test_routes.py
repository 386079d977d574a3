"""The table of paths, and what leaks from none of them."""

from pathlib import Path

import pytest
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server.http.routes import application, routes
from tests.server.http.world import World
from tests.support.handshake import Handshake
from tests.support.logs import logging_to_memory

STATIC = Path(__file__).parents[3] / "server" / "static"
# That it is what is built: scripts/check.
BUILT = {f"{path.relative_to(STATIC)}" for path in STATIC.rglob("*.js")}


def test_the_table_is_what_the_contract_names(world: World) -> None:
    """Nothing is served by accident."""
    served = {(route.path, *sorted(route.methods or ())) for route in routes(world.parts)}
    assert served == {
        ("/", "GET", "HEAD"),
        ("/ws", "GET", "HEAD"),
        ("/health/live", "GET", "HEAD"),
        ("/health/ready", "GET", "HEAD"),
        ("/health", "GET", "HEAD"),
        ("/api/v1/visitors", "POST"),
        ("/api/v1/tickets", "POST"),
        ("/api/v1/conversations", "GET", "HEAD", "POST"),
        ("/api/v1/conversations/{id}", "DELETE", "GET", "HEAD", "PATCH"),
        ("/api/v1/conversations/{id}/messages", "GET", "HEAD"),
        ("/api/v1/conversations/{id}/export", "GET", "HEAD"),
        ("/api/v1/conversations/{id}/feedback", "POST"),
        ("/schema/frames.json", "GET", "HEAD"),
        ("/asyncapi.json", "GET", "HEAD"),
        *((f"/{name}", "GET", "HEAD") for name in BUILT),
        *((f"/{name}", "GET", "HEAD") for name in ("demo.css", "icon.svg")),
    }


@pytest.mark.parametrize("path", ["/ws", "/chat/ws"])
async def test_a_request_for_the_socket_without_an_upgrade_is_told_to_ask_for_it(
    world: World, path: str
) -> None:
    """426 names the protocol, and the words say what to do; there is no other method."""
    world.change(base_path="/chat")
    answer = await world.get(path)
    assert answer.error() == (426, "invalid_frame")
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"] == "Upgrade"
    assert "WebSocket client" in answer.json()["error"]["message"]
    answer = await world.post(path, {})
    assert answer.error() == (405, "method_not_allowed")


async def entered(socket: WebSocket) -> None:
    """The socket's endpoint."""
    await socket.accept()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/ws", True),
        ("/chat/ws", True),
        ("/", False),
        ("/chat", False),
        ("/chatws", False),
        ("/ws/", False),
        ("/health", False),
        ("/chat/nowhere", False),
    ],
)
async def test_an_upgrade_of_any_other_path_is_not_found(
    world: World, path: str, found: bool
) -> None:
    """As any request for it is, with the caller's trace; the log has who looked there."""
    world.change(base_path="/chat")
    app = application(world.parts, [WebSocketRoute("/ws", entered)])
    with logging_to_memory() as log:
        handshake = Handshake(
            app,
            path=path,
            client=("203.0.113.7", 1),
            headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"},
        )
        if found:
            await handshake.running
            assert [message["type"] for message in handshake.sent] == ["websocket.accept"]
            return
        status, code, headers = await handshake.refused()
        assert (status, code, headers["x-request-id"]) == (404, "not_found", "a" * 32)
        [line] = log.lines()
    assert (line["status"], line["trace"], line["peer"]) == (404, "a" * 32, "203.0.113.0/24")


async def test_no_canary_reaches_a_log_or_an_error(world: World) -> None:
    """A text, a token, a ticket, a secret: put everywhere a request can carry one."""
    text = "wotan-the-dog@example.org"
    token = world.token()
    paths = ("/", "/health", "/api/v1/visitors", "/api/v1/tickets", "/api/v1/conversations")
    with logging_to_memory("debug") as log:
        bought = await world.send("POST", "/api/v1/tickets", authorization=f"Bearer {token}")
        ticket = bought.json()["ticket"]
        canaries = (text, token, ticket, token.rpartition(".")[2])
        errors = []
        for canary in canaries:
            for path in paths:
                for method in ("GET", "POST", "BREW"):
                    target = f"{path}/{canary}?q={canary}&token={canary}"
                    errors.append(await world.send(method, target))
                    errors.append(await world.send(method, f"{path}?{canary}={canary}"))
                    headers = {
                        "cookie": canary,
                        "origin": canary,
                        "traceparent": canary,
                        "content_type": canary,
                        "authorization": f"Bearer {canary}x",
                        "if_none_match": canary,
                    }
                    for name, value in headers.items():
                        sent = {name: value}
                        errors.append(await world.send(method, path, canary.encode(), **sent))
            shop = {"origin": "https://shop.example"}
            for body in (canary, {canary: 1}, {"site": canary}, {"renewal": canary, "site": "x"}):
                errors += [await world.post("/api/v1/visitors", body, **shop)]
        written = log.text()
    assert "a token was refused" in written
    for canary in canaries:
        assert canary not in written
    for answer in errors:
        if answer.status >= 400:
            told = f"{answer.body!r} {answer.headers.raw!r}"
            for canary in (token, ticket):
                assert canary not in told
