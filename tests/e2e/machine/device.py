"""A socket as a client has it: it keeps a journal, and finds fault with what should not come."""

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import Callable
from time import time

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.machine.ledger import Frame, Ledger
from tests.e2e.machine.life import SECRET
from tests.e2e.machine.view import View
from tests.support.issuer import signed

PATIENCE_S = 10.0
SHOWN = 14  # frames of the journal that a fault shows
HOUR_S = 3600

ANSWERED_BY = {
    "hello": "welcome",
    "attach": "attached",
    "chat": "ack",
    "regenerate": "ack",
    "edit": "ack",
    "history": "history",
    "ping": "pong",
}
NAMED_BY = {"attach": "conversation", "detach": "conversation", "stop": "answer"}
ASIDE = ("typing", "presence", "conversations", "expiring", "notice", "goaway")


class Gone(Exception):
    """The socket ended before what was awaited came."""


class Fault(AssertionError):
    """The server broke a promise."""


class Person(msgspec.Struct, frozen=True):
    """Whose device it is."""

    user: str
    tenant: str = "default"

    @property
    def token(self) -> str:
        """What they sign in with."""
        now = int(time())
        claims = {
            "iss": "parley",
            "aud": "parley",
            "sub": self.user,
            "tenant": self.tenant,
            "iat": now,
            "exp": now + HOUR_S,
            "jti": "1",
        }
        return signed(claims, key=SECRET)


class Device:
    """One socket of a person, from its handshake to its end."""

    def __init__(self, person: Person, number: int, ledger: Ledger, *, binary: bool) -> None:
        self.person = person
        self.binary = binary
        self.views: dict[str, View] = {}
        self.left: dict[str, View] = {}  # of conversations that it detached from
        self.aside: list[Frame] = []
        self.alive = False
        self.fault: Fault | None = None
        self.seen: set[str] = set()  # answers and messages that logged frames were about
        self._name = f"{person.user}@{person.tenant}#{number}"
        self._ledger = ledger
        self._journal: list[tuple[str, Frame]] = []
        self._waiting: dict[tuple[str, str | None], list[asyncio.Future[Frame]]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._asked: dict[str, Frame] = {}

    def __repr__(self) -> str:
        """Name it."""
        return f"<{self._name}>"

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    async def connect(self, port: int, *views: View | str) -> list[Frame]:
        """Say hello; views are resumed, conversations attached to. How each was answered."""
        protocol = "parley.v1.msgpack" if self.binary else "parley.v1.json"
        self._socket: ClientConnection = await connect(
            f"ws://127.0.0.1:{port}/ws",
            subprotocols=[protocol],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            close_timeout=PATIENCE_S,
        )
        self.alive = True
        self._reader = asyncio.create_task(self._read())
        attach = [self._wanted(view) for view in views]
        hello: Frame = {"type": "hello", "token": self.person.token}
        if attach:
            hello["attach"] = attach
        greeted = self._expect("welcome", None)
        answers = [self._expect("attached", wanted["conversation"]) for wanted in attach]
        await self._send(hello)
        await self._result(greeted)
        return [await self._result(answer) for answer in answers]

    async def drop(self, how: str) -> None:
        """End it: by a `close`, by `fin` or `rst` of the connection, or by falling silent."""
        self.alive = False
        transport = self._socket.transport
        match how:
            case "close":
                await self._socket.close()
            case "fin":
                transport.close()
            case "rst":
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            case "silence":
                transport.pause_reading()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def bury(self) -> None:
        """Take away what is left of it."""
        self.alive = False
        self._socket.transport.abort()
        self._reader.cancel()
        await asyncio.gather(self._reader, self._socket.wait_closed(), return_exceptions=True)

    async def gone(self) -> None:
        """Wait until the server has ended it."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(self._reader, return_exceptions=True)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def ask(self, frame: Frame) -> Frame:
        """Send a frame and wait for its one answer."""
        return await self._result(await self.post(frame))

    async def post(self, frame: Frame) -> asyncio.Future[Frame]:
        """Send a frame; its answer will come."""
        kind = frame["type"]
        if "id" in frame:
            self._asked[frame["id"]] = frame
        answer = self._expect(
            ANSWERED_BY.get(kind, "ok"), frame.get(NAMED_BY.get(kind, "id"), None)
        )
        await self._send(frame)
        return answer

    async def attach(self, view: View | str, **more: object) -> Frame:
        """Follow, from where a view stands or from a snapshot."""
        return await self.ask({"type": "attach", **self._wanted(view), **more})

    async def hint(self, frame: Frame) -> None:
        """Send a frame that has no answer."""
        await self._send(frame)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what frames bring about."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self.demand()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Fault(self._told("what was awaited did not come")) from None

    def was_told_of(self, conversation: str) -> bool:
        """Whether a list of conversations here would have it."""
        made = [
            told["conversation"]["id"] for told in self.aside if told["type"] == "conversations"
        ]
        return conversation in made

    async def result(self, answer: asyncio.Future[Frame]) -> Frame:
        """What came of a `post`."""
        return await self._result(answer)

    def demand(self) -> None:
        """Raise if a fault was found, or if it is gone."""
        if self.fault is not None:
            raise self.fault
        if not self.alive:
            raise Gone(self._told("the socket ended"))

    def _wanted(self, view: View | str) -> Frame:
        if isinstance(view, str):
            known = self.views.get(view)
            if known is not None:
                known.attaching += 1
            return {"conversation": view}
        self.views[view.conversation] = view
        view.attaching += 1
        return {"conversation": view.conversation, **view.position}

    def _expect(self, kind: str, name: str | None) -> asyncio.Future[Frame]:
        answer = asyncio.get_running_loop().create_future()
        self._waiting[kind, name].append(answer)
        return answer

    async def _result(self, answer: asyncio.Future[Frame]) -> Frame:
        await self.until(lambda: answer.done() or not self.alive)
        if not answer.done():
            raise Gone(self._told("the socket ended before its answer"))
        return answer.result()

    async def _send(self, frame: Frame) -> None:
        self._journal.append(("C", frame))
        try:
            if self.binary:
                await self._socket.send(msgspec.msgpack.encode(frame))
            else:
                await self._socket.send(msgspec.json.encode(frame).decode())
        except ConnectionClosed as end:
            raise Gone(self._told("the socket ended")) from end

    # ── hearing ──────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                raw = message.encode() if isinstance(message, str) else message
                decode = msgspec.msgpack.decode if self.binary else msgspec.json.decode
                self._take(decode(raw))
        except ConnectionClosed as end:
            if end.rcvd is not None and end.rcvd.code not in (1000, 1012):
                self.fault = Fault(self._told(f"closed with {end.rcvd.code} {end.rcvd.reason}"))
        finally:
            self.alive = False
            self._changed.set()

    def _take(self, frame: Frame) -> None:
        self._journal.append(("S", frame))
        try:
            self._hear(frame)
        except (AssertionError, KeyError, AttributeError, TypeError) as error:
            self.fault = self.fault or Fault(self._told(f"{type(error).__name__}: {error}"))
        self._changed.set()

    def _hear(self, frame: Frame) -> None:
        match frame["type"]:
            case "welcome":
                self._answered("welcome", None, frame)
            case "pong":
                self._answered("pong", frame.get("id"), frame)
            case "ack":
                self._acked(frame)
            case "attached":
                self._attached(frame)
            case "ok":
                self._answered("ok", frame["ref"], frame)
                if frame["ref"] in self.views:
                    self.left[frame["ref"]] = self.views.pop(frame["ref"])
            case "history":
                self._answered("history", frame["ref"], frame)
            case "error":
                self._refused(frame)
            case kind if kind in ASIDE:
                self.aside.append(frame)
            case _:
                self._logged(frame)

    def _answered(self, kind: str, name: str | None, frame: Frame) -> None:
        waiting = self._waiting[kind, name]
        assert waiting, "an answer to nothing that was asked"
        waiting.pop(0).set_result(frame)

    def _refused(self, frame: Frame) -> None:
        ref = frame.get("ref")
        kind = next((k for (k, name), fs in self._waiting.items() if name == ref and fs), None)
        assert kind is not None, "an error to nothing that was asked"
        if kind == "attached" and ref in self.views:
            self.views[ref].attaching -= 1
        self._answered(kind, ref, frame)

    def _acked(self, frame: Frame) -> None:
        conversation, answer = frame["conversation"], frame["answer"]
        asked = self._asked[frame["ref"]]
        if not frame["duplicate"]:
            assert answer not in self.seen, "a frame of the answer before its ack"
            again = asked["type"] == "regenerate"
            assert again or frame["message"] not in self.seen, "its message before the ack"
        if conversation not in self.views:
            self.views[conversation] = View(
                conversation,
                frame["epoch"],
                frame["seq"],
                self._ledger,
                whole=asked["type"] == "chat" and "conversation" not in asked,
            )
        self._answered("ack", frame["ref"], frame)

    def _attached(self, frame: Frame) -> None:
        conversation = frame["conversation"]
        asked = bool(self._waiting["attached", conversation])
        view = self.views.get(conversation)
        if view is None:
            assert asked, "attached to what nobody wants to follow"
            view = self.views[conversation] = View(
                conversation, frame["epoch"], frame["seq"], self._ledger, whole=False
            )
            view.attaching = len(self._waiting["attached", conversation])
        view.attached(frame, asked=asked)
        if asked:
            self._answered("attached", conversation, frame)

    def _logged(self, frame: Frame) -> None:
        home = frame.get("conversation")
        if isinstance(home, dict):
            home = home["id"]
        if home is None:
            home = self._ledger.conversation_of[frame["answer"]]
        assert home in self.views, "a frame of a conversation that is not followed"
        about = frame["message"] if frame["type"] == "message" else frame
        self.seen.add(about["id"] if about is not frame else frame.get("answer", ""))
        self.views[home].take(frame)

    def _told(self, what: str) -> str:
        lines = [f"  {who} {frame}" for who, frame in self._journal[-SHOWN:]]
        return "\n".join([f"{self._name}: {what}", *lines])
