"""`scripts/load`: load on a server that runs already, over the real WebSocket, and a summary.

For one's own deployment: it sends what people would, through whatever proxy stands before. The
server is told to be the model `scripted` unless another is named, so that answers cost nothing.
"""

import argparse
import asyncio
import json
import os
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from protocol.codec import CODECS, Codec
from tests.load.asking import Reader, Tally, rest
from tests.load.measures import quantile, script
from tests.load.peer import Heard, Peer, Refused, greeted
from tests.load.subjects import raise_descriptors
from tests.load.table import number, table

AT_ONCE = 50  # sockets that are being opened
GRACE_S = 30.0  # for the last answers to end


class Load:
    """A run against one server, and what is counted in it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.codec: Codec = CODECS[options.subprotocol]
        self.tally = Tally()
        self.waits: dict[str, list[float]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._loop = asyncio.get_running_loop()

    async def enter(self) -> Peer | None:
        """One more socket; None if it was not let in, which is counted."""
        async with self._gate:
            began = self._loop.time()
            try:
                token = self.options.token or await asyncio.to_thread(arrive, self.options.url)
                peer = await greeted(self.options.url, self.codec, token)
            except (OSError, Refused) as error:
                self.tally.errors[str(error) or type(error).__name__] += 1
                return None
            self.waited("connect + hello + welcome", began)
            return peer

    async def enter_all(self) -> list[Peer]:
        """All sockets of the run that are let in."""
        entered = await asyncio.gather(*(self.enter() for _ in range(self.options.sockets)))
        return [peer for peer in entered if peer is not None]

    def waited(self, what: str, since: float) -> None:
        """Something came; how long that took is kept."""
        self.waits.setdefault(what, []).append(self._loop.time() - since)

    def summary(self, seconds: float) -> str:
        """What there is to say at the end."""
        rows = [
            [what, str(len(waits)), *(f"{number(quantile(waits, q) * 1000)} ms" for q in QUANTILES)]
            for what, waits in self.waits.items()
        ]
        lines = [table(["wait", "times", "p50", "p95", "p99"], rows)] if rows else []
        lines.append(
            f"{self.tally.answers} answers, {number(self.tally.tokens / seconds)} tokens/s,"
            f" {self.tally.frames} frames in {number(seconds)} s"
        )
        lines += [f"NOT WELL: {times} × {what}" for what, times in self.tally.errors.items()]
        return "\n".join(lines)


QUANTILES = (0.50, 0.95, 0.99)


async def chat(load: Load) -> None:
    """Sockets that stay, and messages at an even rate over all of them."""
    options, loop = load.options, asyncio.get_running_loop()
    asked: dict[str, float] = {}
    first: dict[str, float] = {}
    ended = asyncio.Semaphore(0)

    def acked(heard: Heard) -> None:
        began = asked.pop(str(heard.ref))
        load.waited("chat → ack", began)
        first[str(heard.answer)] = began

    def told(heard: Heard) -> None:
        began = first.pop(str(heard.answer), None)
        if began is not None:
            load.waited("chat → first text", began)

    content = options.content or script(options.tokens, options.every_ms)
    asking = []
    for peer in await load.enter_all():
        reader = Reader(peer, load.tally, content, model=options.model)
        reader.on_ack, reader.on_token = acked, told
        reader.on_complete = lambda _: ended.release()
        asking.append(reader)

    def ask(reader: Reader, due: float) -> None:
        asked[reader.ask()] = due

    start, messages = loop.time(), round(options.rate * options.seconds) if asking else 0
    for turn in range(messages):
        due = start + turn / options.rate
        loop.call_at(due, ask, asking[turn % len(asking)], due)
    with suppress(TimeoutError):
        async with asyncio.timeout(options.seconds + GRACE_S):
            for _ in range(messages):
                await ended.acquire()


async def idle(load: Load) -> None:
    """Sockets that stay and say nothing but a ping now and then."""
    peers, options, loop = await load.enter_all(), load.options, asyncio.get_running_loop()
    sent: dict[Peer, float] = {}

    def ping(peer: Peer) -> None:
        sent[peer] = loop.time()
        peer.send({"type": "ping"})

    def heard(peer: Peer, payload: bytes) -> None:
        if peer.read(payload).type == "pong":
            load.waited("ping → pong", sent[peer])

    for turn, peer in enumerate(peers):
        peer.on_frame = partial(heard, peer)
        peer.on_lost = partial(load.tally.errors.update, ["a socket was lost"])
        loop.call_later(turn / options.rate, ping, peer)
    await rest(options.seconds)


async def churn(load: Load) -> None:
    """Sockets that come at a rate, and at once leave again, every other one without a word."""
    options, loop = load.options, asyncio.get_running_loop()
    visits: set[asyncio.Task[None]] = set()

    async def visit(turn: int) -> None:
        peer = await load.enter()
        if peer is not None:
            (peer.abort if turn % 2 else peer.close)()

    def begin(turn: int) -> None:
        task = loop.create_task(visit(turn))
        visits.add(task)
        task.add_done_callback(visits.discard)

    for turn in range(round(options.rate * options.seconds)):
        loop.call_later(turn / options.rate, begin, turn)
    await rest(options.seconds)
    await asyncio.gather(*visits)


SCENARIOS: dict[str, Callable[[Load], Awaitable[None]]] = {
    "chat": chat,
    "idle": idle,
    "churn": churn,
}


def arrive(url: str) -> str:
    """A new visitor's token, as a page would get it."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    base = parts.path.removesuffix("/ws")
    request = urllib.request.Request(
        f"{scheme}://{parts.netloc}{base}/api/v1/visitors",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["token"])


async def run(options: argparse.Namespace) -> str:
    """The scenario, from the first socket to the summary."""
    load, loop = Load(options), asyncio.get_running_loop()
    began = loop.time()
    await SCENARIOS[options.scenario](load)
    return load.summary(loop.time() - began)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    parser.add_argument("url", help="the server's socket, such as ws://127.0.0.1:8000/ws")
    parser.add_argument("--scenario", choices=SCENARIOS, default="chat")
    parser.add_argument("--sockets", type=int, default=100, help="that stay (default 100)")
    parser.add_argument(
        "--rate", type=float, default=10.0, help="messages, pings or visits per second (default 10)"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of load (default 30)")
    parser.add_argument(
        "--token",
        default=os.environ.get("PARLEY_TOKEN"),
        help="a user's, also from PARLEY_TOKEN; without one each socket is a new visitor",
    )
    parser.add_argument("--model", default="scripted", help="default: scripted")
    parser.add_argument("--tokens", type=int, default=200, help="of a scripted answer")
    parser.add_argument("--every-ms", type=float, default=20.0, help="between two of them")
    parser.add_argument("--content", help="a message of your own, for another model")
    parser.add_argument("--subprotocol", choices=CODECS, default="parley.v1.json")
    options = parser.parse_args(arguments)
    raise_descriptors()
    sys.stdout.write(asyncio.run(run(options)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
