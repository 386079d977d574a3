"""What we rely on inside uvicorn and websockets, by name: a new version is checked against this."""

import asyncio
from importlib.metadata import version

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from websockets.protocol import OPEN, SEND_EOF, SERVER, Protocol

from server.net.options import Options
from server.net.server import server_config
from tests.server.net.echo import echo

OVERRIDDEN = {
    HttpToolsProtocol: [
        *("connection_made", "connection_lost", "data_received", "on_message_begin", "on_url"),
        *("on_header", "on_headers_complete", "on_body", "on_message_complete"),
        *("_should_upgrade",),
    ],
    uvicorn.Server: ["startup", "shutdown", "handle_exit", "capture_signals"],
}
CALLED = {
    HttpToolsProtocol: ["_unset_keepalive_if_required"],
    Protocol: ["receive_data", "events_received", "data_to_send", "send_close", "fail"],
}


@pytest.mark.parametrize(
    ("owner", "name"),
    [(owner, name) for part in (OVERRIDDEN, CALLED) for owner in part for name in part[owner]],
)
def test_a_method_is_still_there(owner: type, name: str) -> None:
    """One that we override without its being called would be dead."""
    assert callable(getattr(owner, name))


async def test_the_http_protocol_keeps_its_state_where_we_read_it() -> None:
    """In these attributes."""
    config = server_config(echo, Options())
    config.load()
    http = HttpToolsProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    for name in ("app", "asgi_version", "connections", "cycle", "flow", "headers", "loop"):
        assert hasattr(http, name)
    for name in ("parser", "pipeline", "root_path", "scheme", "scope", "server_state"):
        assert hasattr(http, name)
    http.on_message_begin()
    assert {"client", "headers", "server", "state", "type"} <= set(http.scope)
    for name in ("disconnected", "message_event", "response_complete", "response_started"):
        assert name in RequestResponseCycle.__init__.__code__.co_names


async def test_the_server_keeps_its_state_where_we_read_it() -> None:
    """In these attributes."""
    server = uvicorn.Server(server_config(echo, Options()))
    assert server._captured_signals == []
    assert (server.should_exit, server.force_exit) == (False, False)
    assert server.server_state.connections == set()
    assert server.server_state.tasks == set()
    assert "servers" in uvicorn.Server.startup.__code__.co_names


def test_the_framing_ends_as_we_read_it() -> None:
    """A failure leaves a close frame, the end of our half, and the code of both."""
    conn = Protocol(SERVER, state=OPEN, max_size=1)
    assert (conn.eof_sent, conn.close_rcvd, conn.close_sent) == (False, None, None)
    conn.receive_data(b"\x81\x82\x00\x00\x00\x00xx")
    assert conn.data_to_send()[-1] == SEND_EOF
    assert conn.eof_sent
    assert conn.close_sent is not None
    assert conn.close_sent.code == 1009


def test_the_versions_are_those_that_were_read() -> None:
    """Read both projects' changes before another is let in."""
    assert (version("uvicorn"), version("websockets")) == ("0.54.0", "17.4")
    assert version("httptools") == "0.9.0"
