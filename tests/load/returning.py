"""The measures of coming back: one device after a cut, and all of them at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from protocol.codec import JSON
from tests.load.asking import TOKEN, Reader, Tally, Window, rest
from tests.load.measures import WARM_UP_S, Figure, quantile, script, with_errors
from tests.load.peer import Heard, Peer, Refused, asked, connect, greeted, hello
from tests.load.subjects import Subject

AT_ONCE = 20  # answers that are made, and sockets that are opened for the first time
AGAIN_S = 0.5  # after an error
GIVEN_UP_S = 120.0  # after which who is not level will not be


class Left(Struct, frozen=True):
    """What a device knew of its user's conversation when it was cut."""

    user: str
    conversation: str
    epoch: str
    seq: int

    def attach(self) -> dict[str, Any]:
        """What it says when it comes back."""
        return {"conversation": self.conversation, "epoch": self.epoch, "seq": self.seq}


# ── 11 ───────────────────────────────────────────────────────────────────────────────────────────


async def answered(subject: Subject, user: str, *, answers: int, tokens: int) -> list[Left]:
    """Whole answers, each in a conversation of its own, of which a device knows the `ack` alone."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask() -> Left:
        async with gate:
            peer, tally = await greeted(subject.url, JSON, subject.token(user)), Tally()
            reader = Reader(peer, tally, script(tokens))
            acks: list[Heard] = []
            ended = asyncio.Event()
            reader.on_ack = acks.append
            reader.on_complete = lambda _: ended.set()
            reader.ask()
            await ended.wait()
            reader.go()
            return _left(user, acks[0])

    return await asyncio.gather(*(ask() for _ in range(answers)))


async def resumes(subject: Subject, left: Sequence[Left], *, tokens: int) -> tuple[Figure, Figure]:
    """11: p99 in ms from `attach` to the last frame that was missed; data frames of one, at most.

    One after the other on an open socket of one user, each of a conversation that nobody follows.
    """
    peer = await greeted(subject.url, JSON, subject.token(left[0].user))
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[tuple[float, Heard]] = asyncio.Queue()
    peer.on_frame = lambda payload: heard.put_nowait((loop.time(), peer.read(payload)))
    window, errors = Window(subject), Counter[str]()
    waits: list[float] = []
    most = length = 0
    for each in left:
        began = loop.time()
        peer.send({"type": "attach", **each.attach()})
        frames = [await heard.get()]
        while frames[-1][1].type not in ("complete", "error"):
            frames.append(await heard.get())
        waits.append(frames[-1][0] - began)
        chunks = [frame.text for _, frame in frames if frame.type == "chunk"]
        most, length = max(most, len(chunks)), len(frames)
        errors["not recovered"] += frames[0][1].recovered is not True
        errors["not all of the text"] += "".join(chunks) != TOKEN * tokens
        peer.send({"type": "detach", "conversation": each.conversation})
        await heard.get()
    window.end()
    peer.abort()
    tally = Tally()
    tally.errors = +errors
    note = f"{len(waits)} resumes, p50 {quantile(waits, 0.5) * 1000:.1f} ms, {length} frames"
    used = window.server_s / window.wall_s, window.generator_s / window.wall_s
    p99 = Figure(quantile(waits, 0.99) * 1000, *used, with_errors(note, tally))
    return p99, Figure(most, note="chunks; the others have no text")


# ── 15 ───────────────────────────────────────────────────────────────────────────────────────────


class Place(Protocol):
    """Where a crowd comes back to."""

    url: str

    def token(self, user: str) -> str | None:
        """With which the user comes."""


class Crowd:
    """Sockets that all come back at once, each to its conversation, however often it takes.

    Who is refused before the upgrade with a time to come back comes then, and that is no error. Who
    was let in and is told to wait does, and it is one.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.tally = Tally()
        self.refused = self.snapshots = 0
        self.level: list[float] = []  # when each was
        self.peers: list[Peer] = []

    async def enter(self, user: str, conversation: str, gate: asyncio.Semaphore) -> Left:
        """The first time: in turn, and by a snapshot. What is refused then is not measured."""
        async with gate:
            while True:
                try:
                    return _left(user, await self._greet(user, {"conversation": conversation}))
                except Refused:
                    await rest(AGAIN_S)

    def cut(self) -> None:
        """All sockets are gone in the same moment."""
        for peer in self.peers:
            peer.abort()
        self.peers.clear()

    async def come_back(self, left: Left) -> None:
        """Until it is level again, whatever it meets."""
        while True:
            try:
                attached = await self._greet(left.user, left.attach())
            except (Refused, OSError) as error:
                await rest(self._pause(error))
                continue
            self.level.append(asyncio.get_running_loop().time())
            self.snapshots += attached.recovered is not True
            return

    async def _greet(self, user: str, attach: dict[str, Any]) -> Heard:
        """One more socket; what its `attach` was answered."""
        peer = await connect(self._place.url, JSON)
        self.peers.append(peer)
        frame = hello(self._place.token(user), attach)
        while True:
            try:
                return await asked(peer, frame, "attached")
            except Refused as refused:
                if peer.closed_with is not None or refused.retry_after_s is None:
                    peer.abort()
                    raise
                self.tally.errors[str(refused)] += 1
                await rest(refused.retry_after_s)
                frame = {"type": "attach", **attach}

    def _pause(self, error: Refused | OSError) -> float:
        """Seconds before the next try."""
        if isinstance(error, Refused) and error.retry_after_s is not None:
            self.refused += 1
            return error.retry_after_s
        self.tally.errors[str(error) or type(error).__name__] += 1
        return AGAIN_S


async def return_of_all(
    subject: Subject, users: Sequence[str], conversations: Sequence[str]
) -> Figure:
    """15: seconds from the cut of all sockets, one of each user, until 99 % are level again."""
    crowd, gate = Crowd(subject), asyncio.Semaphore(AT_ONCE)
    left = await asyncio.gather(
        *(crowd.enter(*each, gate) for each in zip(users, conversations, strict=True))
    )
    await rest(2 * WARM_UP_S)
    crowd.tally.errors.clear()
    window, began = Window(subject), asyncio.get_running_loop().time()
    crowd.cut()
    coming = [asyncio.create_task(crowd.come_back(each)) for each in left]
    _, late = await asyncio.wait(coming, timeout=GIVEN_UP_S)
    window.end()
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    crowd.cut()
    errors = crowd.tally.errors
    errors["not level"] += len(left) - len(crowd.level)
    errors["by a snapshot"] += crowd.snapshots
    crowd.tally.errors = +errors
    took = sorted(moment - began for moment in crowd.level)
    needed = -(-len(left) * 99 // 100)
    note = (
        f"{len(took)} of {len(left)} in {took[-1] if took else 0:.1f} s, {crowd.refused} refusals"
    )
    return Figure(
        took[needed - 1] if len(took) >= needed else float("inf"),
        window.server_s / window.wall_s,
        window.generator_s / window.wall_s,
        with_errors(note, crowd.tally),
    )


def _left(user: str, heard: Heard) -> Left:
    """What an `ack` or an `attached` tells of it."""
    epoch, seq = heard.epoch, heard.seq
    assert epoch is not None, "both have it"
    assert seq is not None, "both have it"
    return Left(user, msgspec.json.decode(heard.conversation, type=str), epoch, seq)
