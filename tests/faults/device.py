"""A client that keeps a journal: what it asked for, what it was answered, what it showed.

Whatever cuts it off, it comes back: it attaches from its positions and sends again, by the same
ids, what had no answer. On `websockets` and PROTOCOL.md alone.
"""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidState,
)

from tests.faults.view import Frame, View
from tests.support.chaos import How, reset

PATIENCE_S = 40.0
AGAIN_S = 0.05  # a pause before what may succeed later; a server's own wish is longer
RETRIED = ("unavailable", "overloaded")


class Cut(Exception):
    """The connection is gone, or was never made."""


@dataclass
class Request:
    """A frame that has one answer, however often it is sent."""

    frame: Frame
    life: int  # of the server it was first sent to
    cuts: int = 0  # how often the connection went while it had no answer
    answers: list[Frame] = field(default_factory=list)
    answered_in: int = 0  # the life of the first answer that counts

    @property
    def answer(self) -> Frame | None:
        """The one that counts."""
        return self.answers[-1] if self.answers else None


class Device:
    """One device of one user. `live` under test plans, or step by step."""

    def __init__(self, name: str, user: str, token: str) -> None:
        self.name = name
        self.user = user
        self.view = View()
        self.requests: dict[str, Request] = {}
        self.refusals: Counter[str] = Counter()
        self.heard: list[Frame] = []  # on the present socket
        self.closes: list[int] = []  # how connections ended that we did not end
        self.life = 0
        self.decide: Callable[[Frame], bool] | None = None  # on tool calls, as soon as it is asked
        self.receive_buffer: int | None = None  # of the next connections, in bytes
        self._token = token
        self._ids = count(1)
        self._socket: ClientConnection | None = None
        self._left: list[ClientConnection] = []
        self._readers: list[asyncio.Task[None]] = []
        self._to_attach = 0
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        """What it waits for, and what it met."""
        return (
            f"{self.name} in life {self.life}, {'open' if self.connected else 'cut'}:"
            f" unanswered {self.in_flight}, unfinished {self.unfinished},"
            f" faults {self.view.faults}, last heard {str(self.heard[-5:])[:3000]}"
        )

    # ── connections ──────────────────────────────────────────────────────────────────────────────

    async def open(self, url: str, life: int = 0) -> None:
        """Connect, and say nothing yet."""
        self.life = life
        options: dict[str, Any] = {"compression": None, "proxy": None, "ping_interval": None}
        if self.receive_buffer is not None:
            try:
                options["sock"] = await small(url, self.receive_buffer)
            except OSError as error:
                raise Cut(repr(error)) from None
        try:
            self._socket = await connect(
                f"{url.replace('http', 'ws', 1)}/ws", max_size=None, max_queue=None, **options
            )
        except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, EOFError) as error:
            raise Cut(repr(error)) from None
        self.heard.clear()
        self.view.connected()
        self._readers.append(asyncio.create_task(self._read(self._socket)))

    async def connect(self, url: str, life: int = 0) -> None:
        """Connect, come level, and send again what has no answer."""
        await self.open(url, life)
        self.hello()
        await self.until(lambda: self._has("welcome"))
        for request in self.requests.values():
            if request.answer is None:
                self._write(request.frame)
        await self.until(lambda: self._count("attached") >= self._to_attach)

    def hello(self) -> None:
        """Greet, with the positions of all conversations."""
        positions = [self._place(name) for name in self.view.conversations]
        self._to_attach = len(positions)
        self.view.attaching = set(self.view.conversations)
        self._write({"type": "hello", "token": self._token, "attach": positions})

    def drop(self, how: How) -> None:
        """Leave without a word."""
        connection, self._socket = self._socket, None
        assert connection is not None
        transport = connection.transport
        self._left.append(connection)
        match how:
            case How.FIN:
                transport.write_eof()
            case How.RST:
                reset(transport)
            case How.SILENCE:  # the kernel goes on taking bytes for a while
                transport.pause_reading()

    def stop_reading(self) -> None:
        """Stay, and take nothing more from the kernel."""
        assert self._socket is not None
        self._socket.transport.pause_reading()

    def read_on(self) -> None:
        """Take what has come, and what comes; also the close, if it was closed meanwhile."""
        if self._socket is not None:
            self._socket.transport.resume_reading()

    async def close(self) -> None:
        """Leave for good, dropped connections too."""
        connections, self._socket = [self._socket, *self._left], None
        for connection in connections:
            if connection is not None:
                connection.transport.abort()
                await connection.wait_closed()
        await asyncio.gather(*self._readers)

    @property
    def connected(self) -> bool:
        """Whether frames may come."""
        return self._socket is not None

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def fresh_id(self) -> str:
        """An id that this user never used."""
        return f"{self.name}-{next(self._ids)}"

    def send(self, frame: Frame) -> Request:
        """Send a request that has an answer; it is sent until it has one."""
        if frame["type"] == "attach":
            name = f"attach {frame['conversation']}"
            self.requests.pop(name, None)  # each is answered anew
            self.view.attaching.add(frame["conversation"])
        elif frame["type"] == "stop":
            name = f"stop {frame['answer']}"
        else:
            frame = {"id": self.fresh_id(), **frame}
            name = frame["id"]
        request = self.requests.setdefault(name, Request(frame, self.life))
        if request.answer is None:
            self._write(frame)
        return request

    async def ask(self, frame: Frame) -> Frame:
        """Send a request and wait for what it is answered."""
        request = self.send(frame)
        await self.until(lambda: request.answer is not None)
        assert request.answer is not None
        return request.answer

    async def until(self, happened: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until frames have made it so; `Cut` if none can come any more."""
        async with asyncio.timeout(seconds):
            while not happened():
                if self._socket is None:
                    raise Cut
                self._news.clear()
                await self._news.wait()

    def write(self, frame: Frame) -> None:
        """Send a frame and keep no journal of it."""
        self._write(frame)

    # ── what it knows ────────────────────────────────────────────────────────────────────────────

    @property
    def in_flight(self) -> list[Request]:
        """What was sent and not answered."""
        return [request for request in self.requests.values() if request.answer is None]

    @property
    def acks(self) -> list[Frame]:
        """What was acknowledged."""
        answers = [request.answer for request in self.requests.values()]
        return [answer for answer in answers if answer and answer["type"] == "ack"]

    @property
    def unfinished(self) -> list[str]:
        """Answers that were promised and have not ended here."""
        return [ack["answer"] for ack in self.acks if not self.view.has_ended(ack["answer"])]

    @property
    def at_rest(self) -> bool:
        """Whether everything was answered and has ended."""
        return not self.in_flight and not self.unfinished

    def _has(self, kind: str) -> bool:
        return any(frame["type"] == kind for frame in self.heard)

    def _count(self, kind: str) -> int:
        return sum(frame["type"] == kind for frame in self.heard)

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _write(self, frame: Frame) -> None:
        if self._socket is None:
            raise Cut
        # At once and whole, so that a kill finds it sent: `send` would wait for its turn.
        try:
            self._socket.protocol.send_text(json.dumps(frame).encode())
        except InvalidState:  # it is closed, and what came before that is still being read
            raise Cut from None
        for data in self._socket.protocol.data_to_send():
            self._socket.transport.write(data)

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for data in connection:
                if connection is not self._socket:
                    return
                self._take(json.loads(data))
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            if connection is self._socket:
                self._socket = None
                self.closes.append(connection.close_code or 1006)
                for request in self.in_flight:
                    request.cuts += 1
            self._news.set()

    def _take(self, frame: Frame) -> None:
        self.heard.append(frame)
        self.view.take(frame)
        match frame["type"]:
            case "ack" | "history":
                self._answered(frame["ref"], frame)
            case "attached":
                self._answered(f"attach {frame['conversation']}", frame)
                for answer in frame["answers"]:
                    for call in answer.get("tools", []):
                        self._asked(call)
            case "tool":
                self._asked(frame)
            case "ok":
                named = {frame["ref"], f"stop {frame['ref']}"}
                for name in named & self.requests.keys():
                    self._answered(name, frame)
            case "error":
                self._refused(frame)

    def _asked(self, call: Frame) -> None:
        id = f"{self.name}-{call['call']}"
        if call["state"] == "awaiting_approval" and self.decide and id not in self.requests:
            named = {"type": "approve", "id": id, "call": call["call"]}
            decided = {**named, "args_hash": call["args_hash"], "allow": self.decide(call)}
            with suppress(Cut):
                self.send(decided)

    def _refused(self, error: Frame) -> None:
        ref = error.get("ref", "")
        self.refusals[error["code"]] += 1
        request = self.requests.get(ref) or self.requests.get(f"stop {ref}")
        later = asyncio.get_running_loop().call_later
        pause = max(AGAIN_S, error.get("retry_after_ms", 0) / 1000)
        if request is None and ref in self.view.attaching and error["code"] in RETRIED:
            later(pause, self._attach_again, ref, self._socket)
        elif request is None:
            self.view.faults.append(f"an error that answers nothing: {error}")
        elif error["code"] in RETRIED:
            later(pause, self._again, request)
        else:
            request.answers.append(error)
            request.answered_in = request.answered_in or self.life

    def _again(self, request: Request) -> None:
        if request.answer is None:
            with suppress(Cut):
                self._write(request.frame)

    def _attach_again(self, name: str, connection: ClientConnection | None) -> None:
        if connection is not self._socket or name not in self.view.attaching:
            return  # the next socket has said it with its `hello`
        request = self.requests.get(f"attach {name}")
        if request is not None and request.answer is None:
            self._again(request)
            return
        with suppress(Cut):
            self._write({"type": "attach", **self._place(name)})

    def _place(self, name: str) -> Frame:
        shown = self.view.conversations[name]
        return {"conversation": name, "epoch": shown.epoch, "seq": shown.seq}

    def _answered(self, name: str, frame: Frame) -> None:
        request = self.requests.get(name)
        if request is not None:
            request.answers.append(frame)
            request.answered_in = request.answered_in or self.life


async def small(url: str, receive_buffer: int) -> socket.socket:
    """A connection that is soon full; the size counts only before it is made."""
    raw = socket.socket()
    raw.setblocking(False)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    parts = urlsplit(url)
    try:
        await asyncio.get_running_loop().sock_connect(raw, (parts.hostname, parts.port))
    except OSError:
        raw.close()
        raise
    return raw
