"""A client of the Parley protocol, written from PROTOCOL.md and from nothing else.

It shares no line with the server's package or the JavaScript client; sections named here are those
of the document.
"""

import asyncio
import json
import random
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

Frame = dict[str, Any]

ABNORMAL = 1006
LAST_MINUTE_S = 60.0
RETRY_S = 1.0
HELLO_BYTES = 4096


# Section 9: what a close means; section 2: how long to wait.


class Advice(Enum):
    """What a client does after a close."""

    RECONNECT = "reconnect"
    RENEW = "renew"
    STOP = "stop"


def advice(code: int) -> Advice:
    """By the ranges, whatever the code."""
    if code == 4002:
        return Advice.RENEW
    if code in (1002, 1003, 1007, 1009) or 4500 <= code <= 4999:
        return Advice.STOP
    return Advice.RECONNECT


def close_of_status(status: int) -> int:
    """The close code that the HTTP status of a refused upgrade stands for."""
    named = {401: 4501, 403: 4507, 426: 4506, 429: 1013, 503: 1013, 408: ABNORMAL}
    if status in named:
        return named[status]
    return 4500 if 400 <= status < 500 else ABNORMAL


def backoff_s(attempt: int, chance: float) -> float:
    """The delay before an attempt, counted from 0; `chance` is drawn from [0, 1]."""
    return chance * min(60.0, 0.5 * 2.0 ** min(attempt, 64))


# Section 3: offsets and checksums.


def units(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def crc32(text: str) -> int:
    """The checksum of the text's UTF-8 bytes."""
    return zlib.crc32(text.encode())


def ref_of(frame: Frame) -> str | None:
    """The name by which the answer to a frame, or its refusal, is known."""
    if frame["type"] == "auth":
        return "auth"
    return frame.get("id") or frame.get("conversation") or frame.get("answer")


# Section 4: a conversation as this client has it.


class Verdict(Enum):
    """What became of a logged frame."""

    TAKEN = auto()
    REPEATED = auto()
    MISSING = auto()
    BROKEN = auto()


@dataclass
class Running:
    """An answer that has not ended."""

    attempt: int = 1
    state: str = "queued"
    parent: str | None = None
    text: str = ""
    length: int = 0
    thought: str | None = None
    citations: list[Frame] = field(default_factory=list)
    tools: dict[str, Frame] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the text of a snapshot has all come."""
        return units(self.text) >= self.length


class Conversation:
    """The state of one conversation, brought forward frame by frame."""

    def __init__(self, id: str, epoch: str | None = None, seq: int = 0) -> None:
        """Without an epoch nothing is known, and only a snapshot helps."""
        self.id = id
        self.epoch = epoch
        self.seq = seq
        self.leaf: str | None = None
        self.more = False
        self.about: Frame = {}
        self.messages: dict[str, Frame] = {}
        self.running: dict[str, Running] = {}
        self.waiting = False

    @property
    def position(self) -> Frame:
        """What `attach` says beside the conversation; nothing, if a snapshot is due."""
        if self.epoch is None or not all(answer.whole for answer in self.running.values()):
            return {}
        return {"epoch": self.epoch, "seq": self.seq}

    def drop(self) -> None:
        """Forget everything but the name."""
        self.epoch, self.seq, self.leaf = None, 0, None
        self.messages.clear()
        self.running.clear()

    def text(self, answer: str) -> str:
        """An answer's text, whether it runs or has ended."""
        if answer in self.running:
            return self.running[answer].text
        return str(self.messages[answer]["content"])

    def outcome(self, answer: str) -> str | None:
        """How an answer ended; None while it runs, or is not known."""
        outcome = self.messages.get(answer, {}).get("outcome")
        return None if outcome is None else str(outcome)

    def attached(self, frame: Frame) -> None:
        """Section 4: go on from our own position, or start from the snapshot."""
        self.waiting = False
        self.leaf = frame["leaf"]
        if frame["recovered"]:
            for told in frame["answers"]:
                if told["answer"] in self.running:
                    self.running[told["answer"]].state = told["state"]
            return
        self.epoch, self.seq = frame["epoch"], frame["seq"]
        self.more = bool(frame.get("more"))
        self.messages = {message["id"]: message for message in frame.get("messages") or []}
        self.running = {told["answer"]: _running(told) for told in frame["answers"]}

    def complete_snapshot(self, chunk: Frame) -> Verdict:
        """Take a chunk without `seq`."""
        answer = self.running.get(chunk["answer"])
        if answer is None or chunk["offset"] != units(answer.text):
            return Verdict.BROKEN
        answer.text += chunk["text"]
        return Verdict.TAKEN

    def take(self, frame: Frame) -> Verdict:
        """Take a logged frame, if it is the next one."""
        last = int(frame["seq"])
        first = int(frame["seq"] if frame.get("from") is None else frame["from"])
        if last <= self.seq:
            return Verdict.REPEATED
        if first != self.seq + 1:
            return Verdict.MISSING
        if not self._apply(frame):
            return Verdict.BROKEN
        self.seq = last
        return Verdict.TAKEN

    def _apply(self, frame: Frame) -> bool:
        match frame["type"]:
            case "message":
                self._message(frame["message"])
            case "conversation":
                self.about = frame["conversation"]
                self.leaf = self.about["leaf"]
            case "feedback":
                if frame["message"] in self.messages:
                    rating = {name: frame.get(name) for name in ("rating", "comment")}
                    self.messages[frame["message"]]["feedback"] = rating
            case _:
                answer = self.running.get(frame.get("answer") or "")
                if answer is not None:
                    return self._answer(answer, frame)
        return True

    def _message(self, message: Frame) -> None:
        self.leaf = message["id"]
        for sibling in message["siblings"]:
            if sibling in self.messages:
                self.messages[sibling]["siblings"] = message["siblings"]
        if self.outcome(message["id"]) is not None or message["id"] in self.running:
            return
        if message["role"] == "assistant" and message.get("outcome") is None:
            self.running[message["id"]] = Running(parent=message["parent"])
        self.messages[message["id"]] = dict(message)

    def _answer(self, answer: Running, frame: Frame) -> bool:
        match frame["type"]:
            case "status":
                answer.state = frame["state"]
            case "chunk":
                if frame["offset"] != units(answer.text):
                    return False
                answer.text += frame["text"]
            case "thought":
                if answer.thought is None or frame["offset"] == units(answer.thought):
                    answer.thought = (answer.thought or "") + frame["text"]
            case "citation":
                answer.citations.append(frame)
            case "tool":
                known = answer.tools.setdefault(frame["call"], {})
                known.update({key: value for key, value in frame.items() if value is not None})
            case "reset":
                answer.attempt = frame["attempt"]
                answer.text, answer.thought, answer.citations = "", None, []
            case "complete":
                return self._complete(answer, frame)
            case _:
                pass
        return True

    def _complete(self, answer: Running, frame: Frame) -> bool:
        if (frame["length"], frame["crc32"]) != (units(answer.text), crc32(answer.text)):
            return False
        del self.running[frame["answer"]]
        message = self.messages.setdefault(frame["answer"], {"id": frame["answer"]})
        kept = ("attempt", "outcome", "finish_reason", "model", "provider", "usage", "sources")
        message.update({name: frame[name] for name in kept})
        message.update(content=answer.text, parent=answer.parent, citations=answer.citations)
        message["tools"] = list(answer.tools.values())
        return True


def _running(told: Frame) -> Running:
    text = told.get("text") or ""
    length = told.get("length")
    return Running(
        attempt=told["attempt"],
        state=told["state"],
        parent=told["parent"],
        text=text,
        length=units(text) if length is None else length,
        thought=told.get("thought"),
        citations=told.get("citations") or [],
        tools={tool["call"]: dict(tool) for tool in told.get("tools") or []},
    )


# Section 2: the connection, in either encoding.


class Refused(Exception):
    """The server refused a frame."""

    def __init__(self, frame: Frame) -> None:
        """Of the `error`."""
        super().__init__(f"{frame['code']}: {frame['message']}")
        self.frame = frame
        self.code = str(frame["code"])


class Closed(Exception):
    """The connection is over, or was never made."""

    def __init__(self, code: int, retry_after_s: float | None = None) -> None:
        """The code, or what an HTTP status stands for."""
        super().__init__(f"closed with {code}")
        self.code = code
        self.retry_after_s = retry_after_s


class Wire:
    """One socket, and frames as dictionaries on it."""

    def __init__(self, socket: ClientConnection, encoding: str) -> None:
        """Of a socket that is open; `dial` opens one."""
        self.socket = socket
        self.encoding = encoding

    @classmethod
    async def dial(cls, url: str, encoding: str, headers: dict[str, str] | None = None) -> Self:
        """Connect; raises `Closed` if the server does not let us in."""
        try:
            socket = await connect(
                url,
                subprotocols=[Subprotocol(f"parley.v1.{encoding}")],
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                proxy=None,
                max_size=262144,
            )
        except InvalidStatus as refusal:
            after = refusal.response.headers.get("Retry-After")
            wait = float(after) if after is not None and after.isdigit() else None
            raise Closed(close_of_status(refusal.response.status_code), wait) from refusal
        except (OSError, EOFError, InvalidHandshake) as failure:
            raise Closed(ABNORMAL) from failure
        return cls(socket, encoding)

    def pack(self, frame: Frame) -> str | bytes:
        """A frame as a message of the agreed kind."""
        if self.encoding == "json":
            return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        return msgspec.msgpack.encode(frame)

    async def send(self, *frames: Frame) -> None:
        """Send frames; raises `Closed`."""
        for frame in frames:
            await self.raw(self.pack(frame))

    async def raw(self, message: str | bytes) -> None:
        """Send a message as it is."""
        try:
            await self.socket.send(message)
        except ConnectionClosed as closed:
            raise self._closed(closed) from closed

    async def recv(self) -> Frame:
        """The next frame; raises `Closed`."""
        try:
            message = await self.socket.recv()
        except ConnectionClosed as closed:
            raise self._closed(closed) from closed
        assert isinstance(message, str) is (self.encoding == "json")
        decoded = (
            json.loads(message) if isinstance(message, str) else msgspec.msgpack.decode(message)
        )
        assert isinstance(decoded, dict)
        return decoded

    async def close(self, code: int = 1000) -> None:
        """Close, politely."""
        await self.socket.close(code)

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.socket.transport.abort()

    @staticmethod
    def _closed(closed: ConnectionClosed) -> Closed:
        return Closed(ABNORMAL if closed.rcvd is None else closed.rcvd.code)


@dataclass
class Pending:
    """A request that has no answer yet."""

    frame: Frame
    answer: asyncio.Future[Frame]


class Client:
    """Stays connected, follows conversations, and sends again what has no answer."""

    def __init__(
        self,
        url: str,
        token: str,
        encoding: str = "json",
        *,
        renew: Callable[[], Awaitable[str | None]] | None = None,
        chance: Callable[[], float] = random.random,
        pong_s: float = 10.0,
    ) -> None:
        """`renew` gives a new token where one is needed; `chance` is what delays are drawn by."""
        self.url = url
        self.encoding = encoding
        self.conversations: dict[str, Conversation] = {}
        self.heard: list[Frame] = []
        self.closes: list[int] = []
        self.welcome: Frame = {}
        self._token = token
        self._renew = renew
        self._chance = chance
        self._pong_s = pong_s
        self._answers: dict[str, str] = {}
        self._pending: dict[str, Pending] = {}
        self._following: dict[str, asyncio.Future[Frame]] = {}
        self._leaving: set[str] = set()
        self._behind: list[Conversation] = []
        self._later: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._ready = False
        self._back_at: float | None = None
        self._wire: Wire | None = None
        self._life: asyncio.Task[None] | None = None
        self._over: Closed | None = None

    async def __aenter__(self) -> Self:
        """Connect, and wait for `welcome`."""
        self._life = asyncio.create_task(self._live())
        await self.until(lambda: bool(self.welcome))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        wire = self._wire
        tasks = [*self._later, *filter(None, [self._life])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for future in self._open_futures():
            future.cancel()
        if wire is not None:
            await wire.close()

    # What a person does.

    async def request(self, **frame: Any) -> Frame:
        """Send a frame until it has an answer, over several connections; raises `Refused`."""
        if self._over is not None:
            raise self._over
        name = ref_of(frame)
        assert name is not None
        pending = Pending(frame, asyncio.get_running_loop().create_future())
        self._pending[name] = pending
        self._wanted.set()
        await self._try(frame)
        try:
            return await pending.answer
        finally:
            self._pending.pop(name, None)

    async def follow(self, conversation: str, history: int | None = None) -> Conversation:
        """Follow a conversation, from where we are in it."""
        mine = self.conversations.setdefault(conversation, Conversation(conversation))
        self._following[conversation] = asyncio.get_running_loop().create_future()
        await self._attach(mine, **({} if history is None else {"history": history}))
        await self._following[conversation]
        return mine

    async def unfollow(self, conversation: str) -> None:
        """Stop following; what still arrives is ignored."""
        self._leaving.add(conversation)
        self.conversations.pop(conversation, None)
        await self.request(type="detach", conversation=conversation)
        self._leaving.discard(conversation)

    async def tell(self, **frame: Any) -> None:
        """Send what has no answer."""
        await self._try(frame)

    def cut(self) -> None:
        """Lose the connection, as a tunnel does."""
        assert self._wire is not None
        self._ready = False
        self._wire.abort()

    # What a test waits for.

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, looking again at all that is heard."""
        async with self._news:
            await self._news.wait_for(lambda: self._over is not None or holds())
        if self._over is not None and not holds():
            raise self._over

    async def hear(self, kind: str, **fields: Any) -> Frame:
        """The first frame of a kind with these fields, among those that were heard or will be."""

        def found() -> list[Frame]:
            return [
                frame
                for frame in self.heard
                if frame["type"] == kind
                and all(frame.get(name) == value for name, value in fields.items())
            ]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def ended(self, ack: Frame) -> Frame:
        """The answer that an `ack` named, as a message, once it has ended."""
        mine = self.conversations[ack["conversation"]]
        await self.until(lambda: mine.outcome(ack["answer"]) is not None)
        return mine.messages[ack["answer"]]

    # The connection's life.

    async def _live(self) -> None:
        attempt = 0
        clock = asyncio.get_running_loop().time
        while True:
            closed, lasted = await self._connection()
            self._ready = False
            self.closes.append(closed.code)
            attempt = 0 if lasted >= LAST_MINUTE_S else attempt
            if not await self._goes_on(closed):
                await self._end(closed)
                return
            await self._tell_waiters()
            wait = closed.retry_after_s
            if wait is None and self._back_at is not None:
                wait = max(0.0, self._back_at - clock())
            self._back_at = None
            await asyncio.sleep(backoff_s(attempt, self._chance()) if wait is None else wait)
            attempt += 1

    async def _goes_on(self, closed: Closed) -> bool:
        match advice(closed.code):
            case Advice.STOP:
                return False
            case Advice.RENEW:
                token = None if self._renew is None else await self._renew()
                self._token = token or self._token
                return token is not None
            case Advice.RECONNECT if closed.code == 4006 and not self._pending:
                self._wanted.clear()
                await self._wanted.wait()
        return True

    async def _end(self, closed: Closed) -> None:
        self._over = closed
        for future in self._open_futures():
            if not future.done():
                future.set_exception(closed)
        await self._tell_waiters()

    def _open_futures(self) -> list[asyncio.Future[Frame]]:
        return [*(pending.answer for pending in self._pending.values()), *self._following.values()]

    async def _connection(self) -> tuple[Closed, float]:
        clock = asyncio.get_running_loop().time
        began = clock()
        wire = None
        try:
            self._wire = wire = await Wire.dial(self.url, self.encoding)
            await wire.send(self._hello())
            began = clock()
            while True:
                await self._hear(await self._next(wire))
        except Closed as closed:
            return closed, clock() - began
        except TimeoutError:
            assert wire is not None
            wire.abort()
            return Closed(4008), clock() - began
        finally:
            self._wire = None

    async def _next(self, wire: Wire) -> Frame:
        """The next frame; silence is asked about, and then no longer borne."""
        if self._back_at is not None:
            try:
                async with asyncio.timeout_at(self._back_at):
                    return await wire.recv()
            except TimeoutError:
                await wire.close()
                raise Closed(1000) from None
        try:
            async with asyncio.timeout(1.5 * self.welcome.get("heartbeat_s", 60)):
                return await wire.recv()
        except TimeoutError:
            await wire.send({"type": "ping"})
            async with asyncio.timeout(self._pong_s):
                frame = await wire.recv()
                while frame["type"] != "pong":
                    await self._hear(frame)
                    frame = await wire.recv()
                return frame

    def _hello(self) -> Frame:
        """With what fits the 4 KiB before `welcome`; the other conversations are attached later."""
        hello: Frame = {"type": "hello", "token": self._token}
        hello |= {"client": {"name": "alone", "version": "1"}}
        self._behind = []
        for mine in self.conversations.values():
            mine.waiting = True
            more = [*hello.get("attach", []), {"conversation": mine.id, **mine.position}]
            if len(json.dumps(hello | {"attach": more})) > HELLO_BYTES or self._behind:
                self._behind.append(mine)
            else:
                hello["attach"] = more
        return hello

    async def _try(self, frame: Frame) -> None:
        """Send, if there is a connection; what needs an answer is sent again without our help."""
        if self._wire is None or not self._ready:
            return
        try:
            await self._wire.send(frame)
        except Closed:
            return

    async def _attach(self, mine: Conversation, **more: Any) -> None:
        mine.waiting = True
        await self._try({"type": "attach", "conversation": mine.id, **mine.position, **more})

    # What the server says.

    async def _hear(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                await self._welcomed(frame)
            case "attached":
                self._attached(frame)
            case "ack":
                await self._acked(frame)
                self._answered(frame["ref"], frame)
            case "ok" | "history":
                self._answered(frame["ref"], frame)
            case "pong":
                self._answered(frame.get("id"), frame)
            case "error":
                self._refused(frame)
            case "goaway":
                delay = frame["reconnect_after_ms"] / 1000
                self._back_at = asyncio.get_running_loop().time() + delay
            case "expiring":
                self._soon(self._renewal())
            case _:
                await self._log(frame)
        self.heard.append(frame)
        await self._tell_waiters()

    async def _welcomed(self, frame: Frame) -> None:
        self.welcome = frame
        self._ready = True
        for mine in self._behind:
            await self._attach(mine)
        for pending in list(self._pending.values()):
            await self._try(pending.frame)

    async def _tell_waiters(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _soon(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _renewal(self) -> None:
        token = None if self._renew is None else await self._renew()
        if token is not None:
            self._token = token
            await self.request(type="auth", token=token)

    def _answered(self, name: str | None, frame: Frame) -> None:
        pending = self._pending.get(name or "")
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(frame)

    def _refused(self, frame: Frame) -> None:
        name = frame.get("ref") or ""
        pending = self._pending.get(name)
        again = frame["code"] in ("unavailable", "overloaded")
        if again and pending is not None and "id" in pending.frame:
            if self._back_at is None:
                self._soon(self._again(pending, frame))
            return
        future = self._following.pop(name, None) if pending is None else pending.answer
        if pending is None:
            self.conversations.pop(name, None)
        if future is not None and not future.done():
            future.set_exception(Refused(frame))

    async def _again(self, pending: Pending, error: Frame) -> None:
        await asyncio.sleep((error.get("retry_after_ms") or RETRY_S * 1000) / 1000)
        if not pending.answer.done():
            await self._try(pending.frame)

    def _attached(self, frame: Frame) -> None:
        id = frame["conversation"]
        if id in self._leaving:
            return
        mine = self.conversations.setdefault(id, Conversation(id))
        mine.attached(frame)
        for told in frame["answers"]:
            self._answers[told["answer"]] = id
        future = self._following.pop(id, None)
        if future is not None and not future.done():
            future.set_result(frame)

    async def _acked(self, ack: Frame) -> None:
        id = ack["conversation"]
        self._answers[ack["answer"]] = id
        if id in self.conversations:
            return
        pending = self._pending.get(ack["ref"])
        asked = {} if pending is None else pending.frame
        if asked.get("type") == "chat" and asked.get("conversation") is None:
            self.conversations[id] = Conversation(id, ack["epoch"], ack["seq"])
            return
        self.conversations[id] = Conversation(id)
        await self._attach(self.conversations[id])

    async def _log(self, frame: Frame) -> None:
        id = frame.get("conversation")
        if isinstance(id, dict):
            id = id["id"]
        if id is None:
            id = self._answers.get(frame.get("answer") or "")
        mine = self.conversations.get(id or "")
        if mine is None or mine.waiting:
            return
        if frame.get("seq") is None:
            if frame["type"] == "chunk" and mine.complete_snapshot(frame) is Verdict.BROKEN:
                await self._start_over(mine)
            return
        match mine.take(frame):
            case Verdict.TAKEN:
                self._name_answer(mine, frame)
            case Verdict.MISSING:
                await self._attach(mine)
            case Verdict.BROKEN:
                await self._start_over(mine)
            case Verdict.REPEATED:
                pass

    def _name_answer(self, mine: Conversation, frame: Frame) -> None:
        if frame["type"] == "message" and frame["message"]["role"] == "assistant":
            self._answers[frame["message"]["id"]] = mine.id
        elif frame["type"] in ("status", "reset"):
            self._answers[frame["answer"]] = mine.id

    async def _start_over(self, mine: Conversation) -> None:
        mine.drop()
        await self._attach(mine)
