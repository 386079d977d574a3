"""A server for clients' tests: real sockets and the machine of the protocol, every step a test's.

async with peering() as peer:
    line = await peer.arrival()
    chat = await line.asked(Chat)
    await line.send(*log.begin(chat))
    line.cut()
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from protocol.codec import JSON
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.frames.objects import Message, Server, Timings, Unfinished
from protocol.limits import Limits
from protocol.session import Action, Close, Deliver, Send, ServerSession
from protocol.text import crc32, utf16_length
from protocol.types import (
    AnswerState,
    FinishReason,
    GoawayReason,
    Outcome,
    ResetReason,
    Role,
    ToolState,
    Usage,
)

PATIENCE_S = 10.0
NOON = "2026-11-21T12:00:00.000Z"
REASONS = {
    Outcome.COMPLETE: FinishReason.STOP,
    Outcome.STOPPED: FinishReason.STOPPED,
    Outcome.INTERRUPTED: FinishReason.CRASH,
    Outcome.FAILED: FinishReason.ERROR,
}
F = TypeVar("F", bound=c.ClientFrame)


class Line:
    """One connection, from the server's end."""

    def __init__(self, socket: ServerConnection) -> None:
        self.closed = asyncio.Event()
        self._socket = socket
        self._session = ServerSession(trace="t", now=0.0)
        self._asked: asyncio.Queue[Deliver] = asyncio.Queue()

    @property
    def authorization(self) -> str | None:
        """What the handshake's header brought."""
        assert self._socket.request is not None
        return self._socket.request.headers.get("Authorization")

    async def read(self) -> None:
        """Take what comes, until the connection ends."""
        try:
            async for data in self._socket:
                session = self._session
                await self._do(session.receive(JSON.decode_client(data, session.frame_cap), 0.0))
        except ConnectionClosed:
            pass
        finally:
            self.closed.set()

    async def asked(self, kind: type[F]) -> F:
        """The next frame, which is of this kind."""
        async with asyncio.timeout(PATIENCE_S):
            delivered = await self._asked.get()
        assert isinstance(delivered.frame, kind), delivered.frame
        return delivered.frame

    async def welcome(self, lives_s: float | None = None) -> c.Hello:
        """Let the client in; what it greeted with."""
        hello = await self.asked(c.Hello)
        welcome = s.Welcome(
            session="s-1",
            user="ann",
            tenant="default",
            server=Server(name="peer", version="1", instance="i-1"),
            heartbeat_s=25,
            limits=Limits(),
            features=["approvals"],
            expires_at=None,
        )
        await self._do(self._session.grant(welcome, 0.0, lives_s=lives_s))
        return hello

    async def send(self, *frames: s.ServerFrame) -> None:
        """Say this, answers and all else."""
        for frame in frames:
            await self._socket.send(JSON.encode(frame), text=True)

    async def babble(self) -> None:
        """Say something that no server of this protocol says."""
        await self._socket.send('{"type":"nonsense"}')

    async def goaway(self) -> None:
        """Ask the client to come again at once."""
        await self._do(self._session.drain(GoawayReason.SHUTDOWN, 0))

    def cut(self) -> None:
        """End the connection as a broken network does."""
        self._socket.transport.abort()

    async def close(self, code: int) -> None:
        """End the connection with this code."""
        await self._socket.close(code)

    async def gone(self) -> None:
        """Wait until the client has left."""
        async with asyncio.timeout(PATIENCE_S):
            await self.closed.wait()

    async def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(frame):
                    await self.send(frame)
                case Deliver():
                    self._asked.put_nowait(action)
                case Close(code):
                    await self._socket.close(code)


class Peer:
    """Where it listens, and who comes. It refuses handshakes with `refusals`, first."""

    def __init__(self) -> None:
        self.url = ""
        self.refusals: list[HTTPStatus] = []
        self._lines: asyncio.Queue[Line] = asyncio.Queue()

    @property
    def socket(self) -> str:
        """The socket's address."""
        return f"ws{self.url.removeprefix('http')}/ws"

    async def arrival(self) -> Line:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._lines.get()

    async def line(self) -> Line:
        """The next connection, let in."""
        line = await self.arrival()
        await line.welcome()
        return line

    async def take(self, socket: ServerConnection) -> None:
        """Serve a connection."""
        line = Line(socket)
        self._lines.put_nowait(line)
        await line.read()

    def door(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse the handshake, if a test wants it."""
        if not self.refusals:
            return None
        response = socket.respond(self.refusals.pop(0), "not now")
        response.headers["Retry-After"] = "0"
        return response


@asynccontextmanager
async def peering() -> AsyncIterator[Peer]:
    """Listen until the block ends."""
    peer = Peer()
    async with serve(
        peer.take,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(JSON.subprotocol)],
        process_request=peer.door,
        compression=None,
        ping_interval=None,
        close_timeout=1,
    ) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        peer.url = f"http://{host}:{port}"
        yield peer


class Log:
    """A conversation with one answer, as a server tells it."""

    def __init__(self, conversation: str = "c-1", answer: str = "m-2", epoch: str = "e-1") -> None:
        self.conversation, self.answer, self.epoch = conversation, answer, epoch
        self.question = f"{answer}-q"
        self.seq, self.attempt, self.text = 0, 1, ""

    def begin(
        self, asked: c.Chat | c.Regenerate | c.Edit, *, queued: int = 0
    ) -> list[s.ServerFrame]:
        """The `ack`, both rows, and that it generates."""
        return [self.ack(asked, queued=queued), *self.rows(), self.status(AnswerState.GENERATING)]

    def ack(self, asked: c.Chat | c.Regenerate | c.Edit, *, queued: int = 0) -> s.Ack:
        """It is committed."""
        return s.Ack(
            ref=asked.id,
            conversation=self.conversation,
            message=self.question,
            answer=self.answer,
            duplicate=False,
            queued=queued,
            epoch=self.epoch,
            seq=self.seq,
        )

    def rows(self) -> list[s.ServerFrame]:
        """The question, and the answer that is empty yet."""
        return [
            s.MessageMade(
                conversation=self.conversation,
                message=self.row(self.question, Role.USER, "hi", None),
                seq=self._next(),
            ),
            s.MessageMade(
                conversation=self.conversation,
                message=self.row(self.answer, Role.ASSISTANT, "", self.question),
                seq=self._next(),
            ),
        ]

    def row(
        self,
        name: str,
        role: Role,
        content: str,
        parent: str | None,
        outcome: Outcome | None = None,
    ) -> Message:
        """A message of the conversation."""
        return Message(
            id=name,
            conversation=self.conversation,
            role=role,
            content=content,
            parent=parent,
            siblings=[name],
            created_at=NOON,
            outcome=outcome,
        )

    def status(self, state: AnswerState) -> s.Status:
        """What it does."""
        return s.Status(
            conversation=self.conversation,
            answer=self.answer,
            attempt=self.attempt,
            state=state,
            seq=self._next(),
        )

    def chunk(self, text: str) -> s.Chunk:
        """More text."""
        offset = utf16_length(self.text)
        self.text += text
        return s.Chunk(answer=self.answer, offset=offset, text=text, seq=self._next())

    def reset(self, reason: ResetReason) -> s.Reset:
        """Forget the text."""
        self.attempt, self.text = self.attempt + 1, ""
        return s.Reset(
            conversation=self.conversation,
            answer=self.answer,
            attempt=self.attempt,
            reason=reason,
            seq=self._next(),
        )

    def tool(self, call: str, state: ToolState) -> s.Tool:
        """A call of a tool."""
        return s.Tool(
            conversation=self.conversation,
            answer=self.answer,
            call=call,
            name="clock",
            state=state,
            arguments={"zone": "UTC"},
            args_hash="h-1",
            seq=self._next(),
        )

    def complete(self, outcome: Outcome = Outcome.COMPLETE) -> s.Complete:
        """The end."""
        return s.Complete(
            conversation=self.conversation,
            answer=self.answer,
            attempt=self.attempt,
            outcome=outcome,
            finish_reason=REASONS[outcome],
            length=utf16_length(self.text),
            crc32=crc32(self.text),
            usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, cost_usd=0.5),
            model="scripted",
            provider="scripted",
            sources=[],
            degraded=[],
            timings_ms=Timings(queue=0, total=1500),
            seq=self._next(),
        )

    def resumed(self, wanted: c.Attachment) -> s.Attached:
        """Go on from the client's own position."""
        assert wanted.epoch is not None
        assert wanted.seq is not None
        return s.Attached(
            conversation=self.conversation,
            epoch=wanted.epoch,
            seq=wanted.seq,
            recovered=True,
            leaf=self.answer,
            answers=[
                Unfinished(
                    answer=self.answer,
                    parent=self.question,
                    state=AnswerState.GENERATING,
                    attempt=self.attempt,
                )
            ],
        )

    def snapshot(self, *, epoch: str, ended: Outcome | None = None) -> s.Attached:
        """The state, in a new life of the log."""
        self.epoch, self.seq = epoch, 1
        rows = [self.row(self.question, Role.USER, "hi", None)]
        running = []
        if ended is None:
            running = [
                Unfinished(
                    answer=self.answer,
                    parent=self.question,
                    text=self.text,
                    state=AnswerState.GENERATING,
                    attempt=self.attempt,
                )
            ]
        else:
            rows.append(self.row(self.answer, Role.ASSISTANT, self.text, self.question, ended))
        return s.Attached(
            conversation=self.conversation,
            epoch=epoch,
            seq=1,
            recovered=False,
            leaf=self.answer,
            answers=running,
            messages=rows,
            more=False,
        )

    def _next(self) -> int:
        self.seq += 1
        return self.seq
