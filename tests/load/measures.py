"""The measures of one process, by their numbers in the design's list of numbers to reach.

Each is a coroutine that is given a running subject and returns figures. A throughput is work per
second of the server's processor time, so it may be compared between machines as a ratio to the
floor that was measured beside it.
"""

import asyncio
import statistics
from collections.abc import Sequence
from functools import partial

import msgspec
from msgspec import Struct

from protocol.codec import JSON, MSGPACK, Codec
from storage.ids import Ids
from storage.records import NewConversation
from storage.sql import open_database
from storage.sql.migrate import migrate
from storage.sql.store import SqlStore
from storage.values import Once, Owner
from tests.load.asking import TOKEN, Reader, Tally, Window, all_greeted, readers, rest
from tests.load.peer import Heard, greeted
from tests.load.subjects import Subject

WARM_UP_S = 1.0
UNWELL = "NOT WELL"  # in the note of a figure


class Figure(Struct, frozen=True):
    """What one run gave; `server` and `generator` are shares of a core that each used."""

    value: float
    server: float = 0.0
    generator: float = 0.0
    note: str = ""


def script(tokens: int, every_ms: float = 0) -> str:
    """What the model `scripted` is to answer."""
    return msgspec.json.encode({"tokens": tokens, "every_ms": every_ms}).decode()


async def throughput(subject: Subject, *, tokens: int, sockets: int, window_s: float) -> Figure:
    """1 and 2: tokens delivered per CPU-second, one reader per answer, as fast as they come."""
    asking, tally = await readers(subject, script(tokens), sockets=sockets)
    for reader in asking:
        reader.ask()
    await rest(WARM_UP_S)
    window, before, frames = Window(subject), tally.tokens, tally.frames
    await rest(window_s)
    window.end()
    delivered, heard = tally.tokens - before, tally.frames - frames
    note = f"{delivered / max(1, heard):.1f} tokens per frame"
    return _per_second(delivered, window, with_errors(note, tally))


async def delay(
    subject: Subject, *, answers: int, per_second: int, seconds: float
) -> tuple[Figure, Figure]:
    """5: a token's way, as p50 and p99 in ms: when it came after the script was due to give it.

    When an answer's script began is not known here, so its quickest token stands for no delay.
    """
    every_s = 1 / per_second
    tokens = round(seconds * per_second)
    asking, tally = await readers(subject, script(tokens, every_s * 1000), sockets=answers)
    loop = asyncio.get_running_loop()
    came: list[list[float]] = [[] for _ in asking]
    ended = asyncio.Semaphore(0)

    def arrived(times: list[float], heard: Heard) -> None:
        times.extend([loop.time()] * (len(heard.text) // len(TOKEN)))

    for number, reader in enumerate(asking):
        reader.on_token = partial(arrived, came[number])
        reader.on_complete = lambda _: ended.release()
        # Spread over one token's time and more, as people are.
        loop.call_later(number / answers, reader.ask)
    await rest(1.0)
    window = Window(subject)
    await rest(seconds - 1.5)
    window.end()
    for _ in asking:
        await ended.acquire()
    late = [
        moment - due
        for times in came
        for moment, due in zip(times, _schedule(times, every_s), strict=True)
    ]
    note = with_errors(f"{answers} answers × {per_second} tokens/s", tally)
    shares = window.server_s / window.wall_s, window.generator_s / window.wall_s
    return (
        Figure(quantile(late, 0.50) * 1000, *shares, note),
        Figure(quantile(late, 0.99) * 1000, *shares, note),
    )


def _schedule(times: Sequence[float], every_s: float) -> list[float]:
    start = min(moment - number * every_s for number, moment in enumerate(times))
    return [start + number * every_s for number in range(len(times))]


async def prepare_conversations(database: str, users: Sequence[str]) -> list[str]:
    """An empty conversation for each, in the database of a server that is to start."""
    db = await open_database(database)
    try:
        await migrate(db)
        store = SqlStore(db, Ids())
        made = [
            await store.conversations.create(
                Owner("default", user), Once(f"c{n}", ""), NewConversation()
            )
            for n, user in enumerate(users)
        ]
        return [each.conversation.id for each in made]
    finally:
        await db.close()


async def memory(subject: Subject, user: str, conversations: Sequence[str]) -> Figure:
    """7: bytes per idle, authenticated socket that is attached to a conversation of its own."""
    first, rest_of_them = conversations[:200], conversations[200:]
    warm = await all_greeted(subject, [user] * len(first), attach=first)
    await rest(WARM_UP_S)
    window, before = Window(subject), subject.memory()
    peers = await all_greeted(subject, [user] * len(rest_of_them), attach=rest_of_them)
    window.end()
    await rest(2.0)
    grown = subject.memory() - before
    for peer in (*warm, *peers):
        peer.abort()
    return Figure(
        grown / len(peers) / 1024,
        window.server_s / window.wall_s,
        window.generator_s / window.wall_s,
        f"{len(peers)} sockets",
    )


async def greetings(subject: Subject, *, window_s: float, at_once: int = 50) -> Figure:
    """8: connect, `hello` and `welcome` per CPU-second, each with a token of its own user."""
    tokens = [subject.token(f"u{n}") for n in range(1000)]
    done, stopped = 0, False

    async def come_and_go(lane: int) -> None:
        nonlocal done
        turn = lane
        while not stopped:
            peer = await greeted(subject.url, JSON, tokens[turn % len(tokens)])
            peer.close()
            done += 1
            turn += at_once

    lanes = [asyncio.create_task(come_and_go(lane)) for lane in range(at_once)]
    await rest(WARM_UP_S)
    window, before = Window(subject), done
    await rest(window_s)
    window.end()
    made = done - before
    stopped = True
    await asyncio.gather(*lanes)
    return _per_second(made, window, "")


async def acknowledged(
    subject: Subject, *, per_second: int, seconds: float, sockets: int = 50, tokens: int = 20
) -> tuple[Figure, Figure]:
    """9: from `chat` to `ack`, as p50 and p99 in ms, messages coming at an even rate."""
    asking, tally = await readers(subject, script(tokens), sockets=sockets)
    loop = asyncio.get_running_loop()
    asked: dict[str, float] = {}
    waits: list[float] = []

    def acked(heard: Heard) -> None:
        due = asked.pop(str(heard.ref))
        if due >= counted:  # before, connections are opened and statements prepared
            waits.append(loop.time() - due)

    def ask(reader: Reader, due: float) -> None:
        asked[reader.ask()] = due  # not when it was sent: a generator that is late would hide it

    for reader in asking:
        reader.on_ack = acked
        reader.on_complete = lambda _: None
    start, total = loop.time() + 0.1, round(per_second * seconds)
    counted = start + 2 * WARM_UP_S
    for number in range(total + round(2 * WARM_UP_S * per_second)):
        due = start + number / per_second
        loop.call_at(due, ask, asking[number % sockets], due)
    await rest(2 * WARM_UP_S)
    window = Window(subject)
    await rest(seconds)
    window.end()
    await rest(1.0)
    shares = window.server_s / window.wall_s, window.generator_s / window.wall_s
    note = with_errors(f"{len(waits)} of {total} messages at {per_second}/s", tally)
    return (
        Figure(quantile(waits, 0.50) * 1000, *shares, note),
        Figure(quantile(waits, 0.99) * 1000, *shares, note),
    )


class Bytes(Struct, frozen=True):
    """What an answer cost on the wire: its chunks, and all that was sent because of it."""

    chunks: int
    chunk_bytes: int
    text_bytes: int
    all_bytes: int


async def bytes_on_the_wire(subject: Subject, codec: Codec, tokens: int) -> Bytes:
    """14: the bytes of one answer's frames, heads included."""
    peer = await greeted(subject.url, codec, subject.token("u0"))
    tally = Tally()
    reader = Reader(peer, tally, script(tokens))
    ended = asyncio.Event()
    chunks = chunk_bytes = text_bytes = 0
    read = peer.on_frame

    def weigh(payload: bytes) -> None:
        nonlocal chunks, chunk_bytes, text_bytes
        heard = peer.read(payload)
        if heard.type == "chunk":
            chunks += 1
            chunk_bytes += len(payload) + (2 if len(payload) < 126 else 4)
            text_bytes += len(heard.text.encode())
        read(payload)

    peer.on_frame = weigh
    reader.on_complete = lambda _: ended.set()
    before = peer.received
    reader.ask()
    await ended.wait()
    used = Bytes(chunks, chunk_bytes, text_bytes, peer.received - before)
    reader.go()
    return used


async def overhead(subject: Subject) -> tuple[Figure, Figure, Figure]:
    """14: bytes beyond the text per chunk in JSON and MessagePack, and how all bytes grow.

    They grow in proportion if an answer ten times as long costs at most ten times the bytes.
    """
    short = [await bytes_on_the_wire(subject, codec, 1_000) for codec in (JSON, MSGPACK)]
    long = await bytes_on_the_wire(subject, JSON, 10_000)
    of_json, of_msgpack = (
        Figure(
            (used.chunk_bytes - used.text_bytes) / used.chunks,
            note=f"{used.chunks} chunks for 1,000 tokens, {used.all_bytes:,} B in all",
        )
        for used in short
    )
    grown = Figure(long.all_bytes / short[0].all_bytes, note=f"{long.all_bytes:,} B for 10,000")
    return of_json, of_msgpack, grown


def median(figures: Sequence[Figure]) -> tuple[float, float, float]:
    """The middle of several runs, and the range."""
    values = [figure.value for figure in figures]
    return statistics.median(values), min(values), max(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all lies below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def _per_second(work: int, window: Window, note: str) -> Figure:
    return Figure(
        work / window.server_s if window.server_s else float("nan"),
        window.server_s / window.wall_s,
        window.generator_s / window.wall_s,
        note,
    )


def with_errors(note: str, tally: Tally) -> str:
    """What is said of a figure, and what went wrong meanwhile."""
    if not tally.errors:
        return note
    return f"{note}; {UNWELL}: " + ", ".join(f"{n} {code}" for code, n in tally.errors.items())
