"""Rows of messages: sent on a socket, answered on it, and whether it lives on."""

import asyncio
from typing import Any

from protocol.codec import Codec
from protocol.codes import ErrorCode
from tests.support.hostile.judging import Wrong, demand, listed
from tests.support.hostile.peer import Ended, Frame, Peer
from tests.support.hostile.server import DELETER, Person, Server
from tests.support.vectors import ENCODINGS, Message, Row, messages, part_bytes, spell

# What a codec cannot know: a well-formed frame may still be refused, but never for its form.
OF_FORM = frozenset({"bad_json", "invalid_frame", "unknown_type", "internal"})
RETRYABLE = {code.value: code.retryable for code in ErrorCode}
PAUSE_S = 1.05  # between bursts that are to fall into different seconds


async def frames(server: Server, row: Row) -> None:
    """Do a row in each of its encodings."""
    if "script" in row:
        raise Wrong("no frame is large enough for it: it is a model's own to say")
    names = _mentioned(row)
    for encoding, codec in ENCODINGS.items():
        if row.get("encoding", encoding) != encoding:
            continue
        variants = len(list(messages(row | {"encoding": encoding}))) if "cut" in row else 1
        for cut in range(variants):
            person = server.person(
                DELETER if "$deleted" in names else None, **row.get("claims", {})
            )
            values = await server.values(person, names)
            play = _Play(server, row, codec, person, values)
            await play.run(cut if "cut" in row else None)


class _Play:
    """One row in one encoding."""

    def __init__(
        self, server: Server, row: Row, codec: Codec, person: Person, values: dict[str, Any]
    ) -> None:
        self._server = server
        self._row = row
        self._codec = codec
        self._person = person
        self._values = values
        self._expect = self._filled(row["expect"])
        self._greets = row["state"] == "new" and row["layer"] == "server"
        self._greeted = self._refused_hello = False

    async def run(self, cut: int | None) -> None:
        """Send what the row says, and see what comes."""
        new = self._row["state"] == "new"
        headers = [f"Authorization: Bearer {self._person.token}"] if new else []
        if "offer" in self._row:
            headers.append(f"Sec-WebSocket-Extensions: {self._row['offer']}")
        async with await Peer.connect(self._server.port, self._codec, headers=headers) as peer:
            if not new:
                await peer.hello(self._person.token)
            await self._send(peer, cut)
            if "tool" in self._expect:
                await self._tool(peer)
            if self._row["class"] == "F13":
                stored = await peer.of_type("message")
                self._demand(stored["message"]["content"] == self._row["frame"]["content"], stored)
            if self._refused_hello:
                return
            if self._row["lives"]:
                await self._lives(peer)
            else:
                self._demand(await peer.is_closed(), "it does not hang up")

    async def _send(self, peer: Peer, cut: int | None) -> None:
        if "offer" in self._row:
            self._demand("sec-websocket-extensions" not in peer.response.headers)
        elif "wire" in self._row:
            await peer.raw.send(*[part_bytes(piece) for piece in self._row["wire"]])
            self._judge([], await peer.ending())
        elif cut is not None:
            row = self._row | {"encoding": _name(self._codec)}
            await peer.send(list(messages(row))[cut][1])
            self._judge([await peer.answer()], None)
        elif "by" in self._row:
            await self._by_another(peer)
        else:
            await self._exchange(peer, hasty=self._row["state"] == "new")

    async def _exchange(self, peer: Peer, *, hasty: bool) -> None:
        """All of it; before `welcome` nothing is waited for."""
        before = [self._filled(frame) for frame in self._row.get("before", [])]
        self._greeted = self._greets or any(frame["type"] == "hello" for frame in before)
        early: list[Message] = []
        for frame in before:
            if hasty:
                early.append(spell(frame, self._codec))
            else:
                answer = await peer.ask(frame)
                self._demand(answer["type"] != "error", answer)
        count = self._row.get("times", 1)
        told: list[Frame] = []
        closed: int | None = None
        try:
            for burst in range(self._row.get("seconds", 1)):
                if burst:
                    await asyncio.sleep(PAUSE_S)
                own = [self._message() for _ in range(count)]
                await peer.send(*early, *own, opcode=self._row.get("opcode"))
                wanted = 0 if self._is_silent() else count + len(early) + len(self._attached())
                told += [await peer.answer() for _ in range(wanted)]
            if not self._row["lives"]:
                closed = await peer.ending()
        except Ended as ended:
            closed = ended.code
        except ConnectionError:
            closed = await peer.ending()
        self._judge(told if hasty else told[-count:], closed)
        for attached in self._attached():
            refused = attached == self._expect.get("ref")
            answers = [frame for frame in told if frame.get("conversation") == attached]
            self._demand(refused or answers, f"nothing came of {attached}")

    async def _by_another(self, peer: Peer) -> None:
        for frame in self._row["before"]:
            await peer.ask(self._filled(frame))
        same = self._row["by"] == "$other_tenant"
        user = self._person.user if same else None
        other = self._server.person(user, "t2" if same else "default")
        async with await self._server.connect(other, codec=self._codec) as second:
            self._judge([await second.ask(self._filled(self._row["frame"]))], None)

    async def _lives(self, peer: Peer) -> None:
        """It still answers a ping, with its own id."""
        try:
            if self._row["state"] == "new" and not self._greeted:
                await peer.hello()
            await peer.say({"type": "ping", "id": "lives-on"})
            while (answer := await peer.answer()).get("id") != "lives-on":
                self._demand(answer["type"] != "error", answer)
        except Ended as ended:
            raise Wrong(f"closed with {ended.code} instead of living on") from None

    async def _tool(self, peer: Peer) -> None:
        """The call ends in this state, without having run; and the answer goes on to its end."""
        states = []
        while (frame := await peer.frame())["type"] != "complete":
            states += [frame["state"]] if frame["type"] == "tool" else []
        self._demand(states[-1:] == [self._expect["tool"]] and "running" not in states, states)
        self._demand(frame["outcome"] == "complete", frame)

    # Judging

    def _judge(self, told: list[Frame], closed: int | None) -> None:
        for frame in told:
            self._demand(frame.get("code") != "internal", frame)
            if frame["type"] == "error":
                self._demand(frame["retryable"] is RETRYABLE[frame["code"]], frame)
                self._demand(bool(frame["trace"]) and isinstance(frame["message"], str), frame)
        expect = self._expect
        self._refused_hello = closed == 4501 and self._is_made_up_hello()
        if "close" in expect:
            self._demand(closed in listed(expect["close"]), f"{told[-1:]}, closed with {closed}")
        elif closed is not None and not self._refused_hello:
            raise Wrong(f"{told[-1:]}, closed with {closed}")
        elif "error" in expect:
            # How fast the server is decides whether there is too much at once.
            lenient = expect["error"] == "overloaded" and self._row["layer"] == "session"
            found = any(self._is_expected_error(frame) for frame in told)
            self._demand(found or lenient, told[-3:])
        elif told:
            self._judge_ok(told[-1])

    def _judge_ok(self, answer: Frame) -> None:
        expect = self._expect
        if self._row["layer"] in ("codec", "session") and answer["type"] == "error":
            code = answer["code"]
            allowed = code not in OF_FORM and (code != "invalid_field" or self._wants_more())
            self._demand(allowed or self._is_second_hello(code), answer)
            return
        self._demand(answer["type"] != "error", answer)
        for name in ("duplicate", "recovered"):
            if name in expect:
                self._demand(answer[name] is expect[name], answer)

    def _is_expected_error(self, frame: Frame) -> bool:
        expect = self._expect
        if "ref" in expect and frame.get("ref") != expect["ref"]:
            return False
        code: str | None = frame.get("code")
        return code in listed(expect["error"])

    def _is_made_up_hello(self) -> bool:
        """A well-formed `hello` with a made-up token is refused by those who read tokens."""
        made_up: bool = self._row["layer"] == "codec" and self._row["expect"] == {"ok": True}
        return made_up and bool(self._row["state"] == "new")

    def _attached(self) -> list[str]:
        """What a `hello` attaches, each of which is answered on its own."""
        if not self._greets:
            return []
        frame = self._filled(self._row["frame"])
        return [wanted["conversation"] for wanted in frame.get("attach", [])]

    def _is_second_hello(self, code: str) -> bool:
        frame: Row = self._row.get("frame", {})
        return code == "invalid_frame" and frame.get("type") == "hello"

    def _wants_more(self) -> bool:
        """Whether it needs what this server does not offer, or not yet."""
        frame = self._row.get("frame", {})
        named = any(isinstance(tool, str) for tool in frame.get("tools") or [])
        retrieves = isinstance(frame.get("retrieval"), dict)
        return named or retrieves or bool(frame.get("attachments") or frame.get("model"))

    def _is_silent(self) -> bool:
        """`typing` has no answer, unless it is refused."""
        typing = self._row.get("frame", {}).get("type") == "typing"
        return typing and "ok" in self._row["expect"]

    def _demand(self, true: object, otherwise: object = "") -> None:
        demand(true, f"{_name(self._codec)}: {otherwise}")

    # Spelling

    def _message(self) -> Message:
        row = self._row | {"encoding": _name(self._codec)}
        if "frame" in row:
            return spell(self._filled(row["frame"]), self._codec)
        [(_, message)] = messages(row)
        return message

    def _filled(self, value: Any) -> Any:
        return filled(value, self._values, self._server)


def filled(value: Any, values: dict[str, Any], server: Server) -> Any:
    """With what the names stand for."""
    if isinstance(value, dict):
        return {key: filled(each, values, server) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, values, server) for each in value]
    if value == "$fresh":
        return server.fresh()
    if isinstance(value, str) and value.startswith("$canary"):
        return value.replace("$canary", values["$canary"])
    return values.get(value, value) if isinstance(value, str) else value


def _mentioned(value: Any) -> set[str]:
    """The names that stand for something, wherever they stand."""
    if isinstance(value, dict):
        return set().union(*(_mentioned(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(_mentioned(each) for each in value))
    return {value} if isinstance(value, str) and value.startswith("$") else set()


def _name(codec: Codec) -> str:
    return next(name for name, each in ENCODINGS.items() if each is codec)
