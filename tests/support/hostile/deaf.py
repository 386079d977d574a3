"""Clients that do not read, or do not answer."""

import asyncio
import json
from typing import Any

from tests.support.hostile.judging import Wrong, demand
from tests.support.hostile.peer import Ended, Peer
from tests.support.hostile.server import Server
from tests.support.vectors import Row


async def never_reads(server: Server, row: Row) -> None:
    """More waits for it than may; the others of its user read on."""
    person = server.person(tier="enterprise")
    script = json.dumps({"tokens": 31, "text": "x" * 4096, "every_ms": 5})
    deaf = await Peer.connect(server.port, receive_buffer=4096)
    async with deaf, await server.connect(person) as hearing:
        await deaf.hello(person.token, client={"name": "deaf", "version": "1"})
        for number in range(30):
            chat = {"type": "chat", "id": f"m{number}", "content": script, "model": "scripted"}
            await deaf.say(chat)
        await hearing.of_type("conversations")
        async with asyncio.timeout(45):
            while _line_of(server, "deaf") is None:
                pong = await hearing.ask({"type": "ping", "id": "p"})
                demand(pong["type"] == "pong", pong)
                await asyncio.sleep(0.1)
        line = _line_of(server, "deaf") or {}
        demand(line.get("code") == row["expect"]["close"], line)


def _line_of(server: Server, client: str) -> dict[str, Any] | None:
    """What the log says of the end of this client's connection."""
    for line in server.parley.log.read_text().splitlines():
        if f'"client":"{client}/' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    return None


async def never_pongs(server: Server, row: Row) -> None:
    """Frames do not count as a sign of life: what it sends may be all it can."""
    async with await Peer.connect(server.port) as peer:
        peer.pongs = False
        await peer.hello(server.person().token)
        try:
            async with asyncio.timeout(10):
                while True:
                    await peer.ask({"type": "ping"})
                    await asyncio.sleep(0.05)
        except Ended as ended:
            demand(ended.code == row["expect"]["close"], f"closed with {ended.code}")
        except TimeoutError:
            raise Wrong("it may live on without a pong") from None
