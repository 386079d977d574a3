"""Rows of requests for an upgrade: what is answered before, at or right behind it."""

import asyncio
import time
from typing import Any

from protocol.codec import CODECS, JSON
from tests.support.hostile.judging import demand, listed
from tests.support.hostile.peer import Peer
from tests.support.hostile.server import Server
from tests.support.rawsocket import KEY, HungUp, RawSocket, Response
from tests.support.vectors import Row, part_bytes

USUAL = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
SLOWEST_S = 10.5  # a refusal at its latest


async def handshake(server: Server, row: Row) -> None:
    """Send the request, and see what comes."""
    await _Handshake(server, row).run()


class _Handshake:
    """One row."""

    def __init__(self, server: Server, row: Row) -> None:
        self._server = server
        self._row = row
        self._expect = row["expect"]
        self._person = server.person()
        self._canary = server.canary()

    async def run(self) -> None:
        """Connect, send, judge."""
        pieces = self._pieces()
        began = time.monotonic()
        async with await RawSocket.connect(self._server.port) as raw:
            sending = asyncio.create_task(self._send(raw, pieces))
            try:
                for _ in range(self._row.get("answers", 0)):
                    await _response(raw)
                response = await _response(raw)
                sending.cancel()
                self._unrepeated(response)
                if response is None or response.status != 101:
                    await self._refused(raw, response, time.monotonic() - began)
                else:
                    await self._upgraded(raw, response)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    # Sending

    async def _send(self, raw: RawSocket, pieces: list[bytes]) -> None:
        pace = self._row.get("pace")
        if pace is None:
            await raw.send(*pieces)
            return
        size = pace.get("bytes")
        whole = b"".join(pieces)
        parts = [whole[i : i + size] for i in range(0, len(whole), size)] if size else pieces
        for part in parts:
            await raw.send(part)
            await asyncio.sleep(pace["seconds"])

    def _pieces(self) -> list[bytes]:
        if "wire" in self._row:
            return [part_bytes(piece) for piece in self._row["wire"]]
        spec = self._row["request"]
        without = spec.get("without", [])
        lines = [b" ".join(self._bytes(spec.get(*part)) for part in _FIRST_LINE)]
        headers = [(name, value) for name, value in USUAL.items() if name not in without]
        headers += spec.get("headers", [])
        named = {name for name, _ in headers}
        if "Authorization" not in named and not self._row.get("plain"):
            headers.append(("Authorization", f"Bearer {self._person.token}"))
        lines += [self._bytes(name) + b": " + self._bytes(value) for name, value in headers]
        early = [part_bytes(piece) for piece in self._row.get("early", [])]
        return [b"\r\n".join([*lines, b"", b""]), *early]

    def _bytes(self, value: Any) -> bytes:
        """A text, in which names stand for something; or pieces."""
        if isinstance(value, list):
            return b"".join(self._bytes(each) for each in value)
        if isinstance(value, dict):
            return part_bytes(value)
        text = str(value).replace("$token", self._person.token).replace("$canary", self._canary)
        return text.encode()

    # Judging

    def _unrepeated(self, response: Response | None) -> None:
        said = repr(response)
        demand(self._canary not in said, said)
        demand(self._person.token not in said, "it repeats the token")

    async def _refused(self, raw: RawSocket, response: Response | None, took_s: float) -> None:
        expect = self._expect
        status = response.status if response is not None else 0
        demand(status in listed(expect.get("status", [])), f"{response}")
        demand(took_s <= expect.get("within_s", SLOWEST_S), f"only after {took_s:.1f} s")
        if response is None:
            return
        headers = expect.get("headers", {})
        demand(headers.items() <= response.headers.items(), response.headers)
        if status in (429, 503):
            demand("retry-after" in response.headers, "no Retry-After")
        if "code" in expect:
            demand(f'"{expect["code"]}"'.encode() in response.body, response.body)
        raw.stop_sending()
        await raw.hung_up()

    async def _upgraded(self, raw: RawSocket, response: Response) -> None:
        expect = self._expect
        chosen = response.headers.get("sec-websocket-protocol")
        if "subprotocol" in expect:
            demand(chosen == expect["subprotocol"], response.headers)
        demand("sec-websocket-extensions" not in response.headers, response.headers)
        peer = Peer(raw, CODECS[chosen] if chosen else JSON, response)
        if "close" in expect:
            if self._row.get("plain"):
                await peer.say({"type": "hello"})
            closed = await peer.ending()
            demand(closed in listed(expect["close"]), f"closed with {closed}")
            return
        demand("ok" in expect or 101 in listed(expect["status"]), "it was let in")
        if self._row.get("said"):
            demand((await peer.answer())["type"] == "welcome")
        else:
            await peer.hello()
        answer = await peer.ask({"type": "ping", "id": "lives-on"})
        demand(answer.get("id") == "lives-on", answer)


_FIRST_LINE = (("method", "GET"), ("target", "/ws"), ("version", "HTTP/1.1"))


async def _response(raw: RawSocket) -> Response | None:
    """What is answered; None if the server hangs up without a word."""
    try:
        return await asyncio.wait_for(raw.response(), SLOWEST_S)
    except HungUp:
        return None
