"""Instances behind a real nginx with the configuration that is deployed."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from server.ws.options import Options
from tests.deploy.front import Front, front_in, lines
from tests.faults.plans import script
from tests.faults.town import token
from tests.support.certificates import certificate
from tests.support.nginx import Nginx
from tests.support.rawsocket import TEXT, RawSocket, masked
from tests.support.services import LOOPBACK, free_port
from tests.support.waiting import until

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Two instances that share nothing, for what concerns one connection; nobody harms them."""
    with front_in(tmp_path_factory.mktemp("front"), "one", "two") as front:
        yield front


def socket_of(front: Front, query: str = "", **options: Any) -> connect:
    """A WebSocket through the proxy."""
    return socket_at(front.url, query, **options)


def socket_at(url: str, query: str = "", **options: Any) -> connect:
    """A WebSocket at this address."""
    plain: dict[str, Any] = {"compression": None, "proxy": None, "ping_interval": None}
    path = f"{url.replace('http', 'ws', 1)}/ws{query}"
    return connect(path, max_size=None, **{**plain, **options})


async def hello(socket: Any) -> dict[str, Any]:
    """Say who we are; the server's answer."""
    await socket.send(json.dumps({"type": "hello", "token": token("ada")}))
    welcome: dict[str, Any] = json.loads(await socket.recv())
    assert welcome["type"] == "welcome", welcome
    return welcome


async def http(url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
    """A request's status, headers and answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def exchange() -> tuple[int, Any, Any]:
        try:
            with urlopen(Request(url, body, named), timeout=10) as answer:
                return answer.status, answer.headers, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, error.headers, json.load(error)

    return await asyncio.to_thread(exchange)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_both_encodings_come_through(front: Front, encoding: str) -> None:
    """The upgrade, the subprotocol, frames both ways."""
    coder: Any = {"json": msgspec.json, "msgpack": msgspec.msgpack}[encoding]
    async with socket_of(front, subprotocols=[Subprotocol(f"parley.v1.{encoding}")]) as socket:
        assert socket.subprotocol == f"parley.v1.{encoding}"
        greeting = coder.encode({"type": "hello", "token": token("ada")})
        await socket.send(greeting, text=encoding == "json")
        assert coder.decode(await socket.recv())["type"] == "welcome"


async def test_the_largest_frames_come_through(front: Front) -> None:
    """64 KiB from a client, and more from the server."""
    async with socket_of(front) as socket:
        await hello(socket)
        await socket.send(json.dumps({"type": "ping", "id": "p"}).ljust(65_536))
        assert json.loads(await socket.recv()) == {"type": "pong", "id": "p"}
        content = script("x" * 1_000, 150)
        await socket.send(json.dumps({"type": "chat", "id": "c", "content": content}))
        ack = json.loads(await socket.recv())
        while json.loads(await socket.recv())["type"] != "complete":
            pass
        await socket.send(json.dumps({"type": "attach", "conversation": ack["conversation"]}))
        snapshot = await socket.recv()
    assert len(snapshot) > 150_000
    assert json.loads(snapshot)["messages"][-1]["content"] == "x" * 150_000


async def test_the_server_sees_the_address_of_the_client(front: Front) -> None:
    """Not the proxy's, and not one that the client made up."""
    made_up = ("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.9")
    for _ in front.instances:
        async with socket_of(
            front, local_addr=("127.9.8.7", 0), additional_headers=dict(made_up)
        ) as socket:
            await hello(socket)
    for instance in front.instances.values():
        await until(partial(seen, instance.log, "127.9.8.0/24"))
        assert "203.0.113.0/24" not in peers(instance.log)


async def test_it_believes_a_proxy_before_it_where_it_is_told_to(front: Front) -> None:
    """Then the address is the one that that proxy saw."""
    more = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"
    with Nginx(front.ports, more=more) as nginx:
        for _ in front.instances:
            told = {"X-Forwarded-For": "198.51.100.7"}
            async with socket_at(nginx.url, additional_headers=told) as socket:
                await hello(socket)
    for instance in front.instances.values():
        await until(partial(seen, instance.log, "198.51.100.0/24"))


def seen(log: Path, network: str) -> bool:
    """Whether an instance saw a connection from there."""
    return network in peers(log)


def peers(log: Path) -> list[str]:
    """The networks that an instance saw connections from."""
    return [line["peer"] for line in closed(log)]


def closed(log: Path) -> list[dict[str, Any]]:
    """The lines of an instance's connections."""
    return [line for line in lines(log) if line["event"] == "connection closed"]


async def test_a_limit_holds_for_each_address_behind_the_proxy(tmp_path: Path) -> None:
    """One client that has used up its handshakes takes none of another's."""
    limits = {"PARLEY_LIMITS_HANDSHAKES_PER_MINUTE": "1", "PARLEY_LIMITS_HANDSHAKES_BURST": "1"}
    with front_in(tmp_path, "one", **limits) as front:
        async with socket_of(front, local_addr=("127.9.8.7", 0)) as socket:
            await hello(socket)
        with pytest.raises(InvalidStatus) as refused:
            await socket_of(front, local_addr=("127.9.8.7", 0))
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0
        async with socket_of(front, local_addr=("127.1.2.3", 0)) as socket:
            await hello(socket)


async def test_an_instance_that_is_full_is_passed_over(tmp_path: Path) -> None:
    """While another has room; when none has, its own answer says so."""
    with front_in(tmp_path, "one", "two", PARLEY_LIMITS_SOCKETS="2") as front:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await hello(await stack.enter_async_context(socket_of(front)))
            with pytest.raises(InvalidStatus) as refused:
                await socket_of(front)
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert json.loads(response.body or b"")["error"]["code"] == "overloaded"
        await until(
            lambda: any("503, 503" in line["statuses"] for line in lines(front.nginx.access))
        )


async def test_times_and_sizes_are_what_the_server_needs(tmp_path: Path) -> None:
    """An idle socket lives by the server's pings; slow and fat requests stay outside."""
    with Nginx([free_port()]) as nginx:
        told = nginx.effective()
    socket = Options()
    [reads] = told["proxy_read_timeout"]
    assert int(reads.removesuffix("s")) > max(60, 2 * socket.heartbeat_s + socket.pong_s)
    assert int(told["client_header_timeout"][0].removesuffix("s")) < 10
    assert int(told["client_body_timeout"][0].removesuffix("s")) < 30
    assert told["client_max_body_size"] == ["1m"]
    assert told["proxy_buffering"] == ["off"]
    assert told["proxy_http_version"] == ["1.1"]
    assert not told.keys() & {"ip_hash", "sticky", "hash"}


async def test_who_sends_a_head_slowly_is_cut_off(tmp_path: Path) -> None:
    """By the proxy, without a word and without an instance."""
    with Nginx([free_port()], client_header_timeout="500ms") as nginx:
        async with await RawSocket.connect(nginx.port) as raw:
            await raw.send(b"GET /ws HTTP/1.1\r\nHost: ")
            assert await raw.hung_up() == b""


async def test_who_reads_nothing_is_cut_off(front: Front) -> None:
    """And the server hears of it: what was kept for this reader is free again."""
    greeting = {"type": "hello", "token": token("slow")}
    with Nginx(front.ports, send_timeout="500ms") as nginx:
        async with await RawSocket.connect(nginx.port, receive_buffer=4096) as raw:
            await raw.open()
            await raw.send(masked(TEXT, json.dumps(greeting).encode()))
            for number in range(3):
                content = script("x" * 1_000, 150)
                chat = {"type": "chat", "id": f"c{number}", "content": content}
                await raw.send(masked(TEXT, json.dumps(chat).encode()))
            logs = [instance.log for instance in front.instances.values()]
            await until(
                lambda: "slow" in [line.get("user") for log in logs for line in closed(log)]
            )


async def test_what_is_too_large_is_refused_in_our_form(front: Front) -> None:
    """The body by its length, the head by its own."""
    status, headers, answer = await http(front.url + "/api/v1/visitors", b" " * 1_100_000)
    assert (status, answer["error"]["code"]) == (413, "payload_too_large")
    assert answer["error"]["trace"] == headers["X-Request-ID"]
    status, headers, answer = await http(front.url + "/health", X_Long="x" * 12_000)
    assert (status, answer["error"]["code"]) == (431, "payload_too_large")
    assert answer["error"]["trace"] == headers["X-Request-ID"]


async def test_a_trace_goes_through_or_begins_here(front: Front) -> None:
    """Client, proxy and server call one request by one name."""
    told = f"00-{TRACE}-b7ad6b7169203331-01"
    _, headers, _ = await http(front.url + "/health", traceparent=told)
    assert headers["X-Request-ID"] == TRACE
    _, headers, _ = await http(front.url + "/health", traceparent="00-nonsense")
    made = headers["X-Request-ID"]
    assert len(made) == 32
    async with socket_of(front, additional_headers={"traceparent": told}) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-Request-ID"] == TRACE
    wanted = [TRACE, made, TRACE]
    await until(lambda: [line["trace"] for line in lines(front.nginx.access)][-3:] == wanted)


async def test_a_ticket_is_in_no_log(tmp_path: Path) -> None:
    """Neither when it lets somebody in nor when the proxy fails on the way."""
    with front_in(tmp_path, "one", "two") as front:
        front.instances["two"].kill()
        _, _, issued = await http(
            front.url + "/api/v1/tickets", b"", Authorization=f"Bearer {token('ada')}"
        )
        ticket = issued["ticket"]
        async with socket_of(front, f"?ticket={ticket}") as socket:
            await socket.send('{"type":"hello"}')
            assert json.loads(await socket.recv())["type"] == "welcome"
        front.instances["one"].kill()
        with pytest.raises(InvalidStatus):
            await socket_of(front, f"?ticket={ticket}")
        logs = [front.nginx.access, front.nginx.log, *(i.log for i in front.instances.values())]
        await until(lambda: len(lines(front.nginx.access)) == 3)
        assert [line["path"] for line in lines(front.nginx.access)][1:] == ["/ws", "/ws"]
        assert [ticket in log.read_text() for log in logs] == [False] * 4


async def test_readiness_is_that_of_any_instance(tmp_path: Path) -> None:
    """While one serves, the whole is ready; with none, it is said in our form when to ask again."""
    with front_in(tmp_path, "one", "two") as front:
        ready = front.url + "/health/ready"
        for instance in front.instances.values():
            assert [(await http(ready))[0] for _ in range(4)] == [200] * 4
            instance.kill()
        status, headers, answer = await http(ready)
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    assert answer["error"]["retryable"]
    assert headers["Retry-After"] == "1"
    assert headers["X-Request-ID"] == answer["error"]["trace"]


async def test_the_proxy_speaks_tls_where_it_is_told_to(front: Front, tmp_path: Path) -> None:
    """By lines of one's own in its server block."""
    certificate(tmp_path)
    more = "ssl_certificate cert.pem; ssl_certificate_key key.pem;"
    nginx = Nginx(front.ports, listens="ssl", more=more)
    for name in ("cert.pem", "key.pem"):
        (nginx.folder / name).write_bytes((tmp_path / name).read_bytes())
        (nginx.folder / name).chmod(0o644)
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with nginx:
        async with connect(
            f"wss://{LOOPBACK}:{nginx.port}/ws", ssl=trust, proxy=None, compression=None
        ) as socket:
            await hello(socket)
