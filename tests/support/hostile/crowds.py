"""Rows of many sockets: one more than there may be is refused, and the others notice nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.healthy import starved_s
from tests.support.hostile.credentials import arrival
from tests.support.hostile.judging import Wrong, demand
from tests.support.hostile.peer import Ended, Peer, http
from tests.support.hostile.server import Server
from tests.support.rawsocket import RawSocket, request
from tests.support.vectors import Row

Newcomer = Callable[[int], Any]  # how the socket of that number comes: headers, and its token


async def crowd(server: Server, row: Row) -> None:
    """Open as many as there may be, and one more."""
    spec = row["crowd"]
    if spec["of"] == "silent":
        await _silent(server, row)
        return
    come = await _comer(server, spec["of"])
    knows = spec["of"] != "unknown"
    most = spec["most"] - (server.others_sockets if spec["of"] == "process" else 0)
    fleeting = spec["of"] == "handshakes"
    async with _crowd(server, come, most, knows=knows, fleeting=fleeting) as peers:
        headers, token = come(most)
        async with await RawSocket.connect(server.port) as raw:
            await raw.send(request(headers=headers))
            response = await raw.response()
            if "status" in row["expect"]:
                demand(response.status == row["expect"]["status"], response)
                demand("retry-after" in response.headers, response)
            else:
                peer = Peer(raw, peers[0].codec, response)
                await peer.say({"type": "hello", "token": token})
                code = await peer.ending()
                demand(code == row["expect"]["close"], f"closed with {code}")
        if knows:
            for number, peer in enumerate(peers):
                pong = await peer.ask({"type": "ping", "id": "lives-on"})
                demand(pong.get("id") == "lives-on", f"socket {number}: {pong}")


async def _silent(server: Server, row: Row) -> None:
    """Each is closed in its time."""
    async with AsyncExitStack() as stack:
        peers = []
        for _ in range(row["crowd"]["most"]):
            peer = await Peer.connect(server.port)
            peers.append((await stack.enter_async_context(peer), time.monotonic()))

        starved = starved_s(server.pid) + starved_s(os.getpid())

        async def judged(peer: Peer, began: float) -> None:
            code = await peer.ending()
            waited = starved_s(server.pid) + starved_s(os.getpid()) - starved
            took = time.monotonic() - began - waited
            demand(code == row["expect"]["close"], f"closed with {code}")
            demand(took <= row["expect"]["within_s"], f"only after {took:.1f} s")

        await asyncio.gather(*[judged(peer, began) for peer, began in peers])


@asynccontextmanager
async def _crowd(
    server: Server, come: Newcomer, most: int, *, knows: bool, fleeting: bool
) -> AsyncIterator[list[Peer]]:
    """So many sockets, one after the other where they are `fleeting`; then all are let go of."""
    async with AsyncExitStack() as stack:
        peers: list[Peer] = []
        for number in range(most):
            headers, token = come(number)
            peer = await stack.enter_async_context(await Peer.connect(server.port, headers=headers))
            try:
                if knows:
                    await peer.hello(token)
            except Ended as ended:
                raise Wrong(f"socket {number} of {most}: {ended.code}") from None
            if fleeting:
                peer.raw.raw.close()
            else:
                peers.append(peer)
        yield peers
    async with asyncio.timeout(10):
        while await _sockets(server) > server.others_sockets:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


async def _sockets(server: Server) -> int:
    """How many the server says it has."""
    return int((await http(server.port, "GET", "/health"))[1]["sockets"])


async def _comer(server: Server, what: str) -> Newcomer:
    """Who comes: all alike in what is counted, and in nothing else that is."""
    one = server.person()
    visitor = (await arrival(server))["token"] if what == "visitor" else ""

    def come(number: int) -> tuple[list[str], str]:
        address = f"10.{_NETWORKS[what]}.{number}.1"
        token = server.person(tenant=f"t{_NETWORKS[what]}-{number % 10}").token
        match what:
            case "user":
                token = one.token
            case "visitor":
                token = visitor
            case "tenant":
                token = server.person(tenant="crowded").token
            case "address" | "handshakes":
                address = f"10.{_NETWORKS[what]}.0.1"
            case "network":
                address = f"2001:db8:1:2::{number:x}"
        return [f"X-Forwarded-For: {address}"], token

    return come


_KINDS = ("user", "visitor", "tenant", "address", "network", "process", "handshakes", "unknown")
_NETWORKS = {kind: number for number, kind in enumerate(_KINDS, 1)}
