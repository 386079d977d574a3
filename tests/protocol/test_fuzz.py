"""Any bytes as a frame: an error or a listed close, never an exception, never a long pause."""

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

import pytest
from msgspec import Struct

from protocol.codec import CODECS, Codec, Fatal, Refusal, Unknown
from protocol.codes import CloseCode, ErrorCode
from protocol.frames.from_client import Hello
from protocol.limits import CLIENT_FRAME_BYTES
from protocol.types import GoawayReason
from tests.support.connections import Connection, Told
from tests.support.frames import Mutator
from tests.support.vectors import Message, messages, rows

LONGEST_S = 0.05
SHORT, LONG = 30_000, 1_000_000
SEED = 20260301

# Of the codec and the session; the rest of the codes come from what a frame asks for.
ERRORS = {
    ErrorCode.BAD_JSON,
    ErrorCode.INVALID_FRAME,
    ErrorCode.INVALID_FIELD,
    ErrorCode.UNKNOWN_TYPE,
    ErrorCode.MESSAGE_TOO_LONG,
    ErrorCode.UNAVAILABLE,
}
CLOSES = {CloseCode.TOO_BIG, CloseCode.BAD_REQUEST, CloseCode.UNAUTHENTICATED}


class Report(Struct):
    """What a run did."""

    frames: int = 0
    outcomes: Counter[str] = Counter()
    slowest_s: float = 0.0


class Fuzz:
    """Feeds messages to a connection per encoding, and opens a new one where one was closed."""

    def __init__(self) -> None:
        self.report = Report()
        self._turns = cycle(range(3))
        self._connections = {codec: Connection(codec) for codec in CODECS.values()}

    def feed(self, codec: Codec, message: Message) -> None:
        """One message: check what it leads to and how long it holds the processor."""
        connection = self._connections[codec]
        now = (
            self.report.frames * 2.0
        )  # seconds, so that five bad frames in a minute are not the rule
        # The thread's own time: what other programs do on this machine is not in it.
        started = time.thread_time()
        told = connection.receive(message, now)
        sent = [codec.encode(frame) for frame in told.sent]
        took = time.thread_time() - started
        if took > LONGEST_S:
            took = min(took, *(_time_to_read(codec, message) for _ in range(3)))
        assert took <= LONGEST_S, f"{took * 1000:.0f} ms for {message[:200]!r}"
        self._check(codec, told, sent)
        self._go_on(connection, told, now)
        self.report.frames += 1
        self.report.slowest_s = max(self.report.slowest_s, took)

    def _check(self, codec: Codec, told: Told, sent: list[bytes]) -> None:
        assert told.close is None or told.close in CLOSES
        assert len(told.sent) + len(told.delivered) <= 1 or told.close
        for frame, raw in zip(told.sent, sent, strict=True):
            assert codec.decode_server(raw if codec.binary else raw.decode()) == frame
        for error in told.errors:
            assert error.code in ERRORS
        names = [error.code.value for error in told.errors]
        names += [type(handed.frame).__name__ for handed in told.delivered]
        self.report.outcomes.update([*names, told.close.reason] if told.close else names)

    def _go_on(self, connection: Connection, told: Told, now: float) -> None:
        """Answer what was handed on; a `hello` is granted, which hands on what was held."""
        for handed in told.delivered:
            if isinstance(handed.frame, Hello):
                for held in connection.grant(handed).delivered:
                    connection.answer(held, now)
            else:
                connection.answer(handed, now)
        if told.close is not None:
            self._connections[connection.codec] = self._fresh(connection.codec)

    def _fresh(self, codec: Codec) -> Connection:
        """In turn ungreeted, open and draining, where different rules hold."""
        fresh, turn = Connection(codec), next(self._turns)
        if turn:
            fresh.open()
        if turn == 2:
            fresh.session.drain(GoawayReason.SHUTDOWN, 1000)
        return fresh


def _time_to_read(codec: Codec, message: Message) -> float:
    """Once more, because the first time may have paid for a collection of garbage."""
    started = time.thread_time()
    codec.decode_client(message, CLIENT_FRAME_BYTES)
    return time.thread_time() - started


def run(frames: int) -> Report:
    """Feed so many damaged frames; every tenth is the server's, which a client reads."""
    fuzz, client = Fuzz(), Mutator(SEED, "client")
    server = Mutator(SEED + 1, "server")
    for number in range(frames):
        if number % 10:
            fuzz.feed(*client.next())
            continue
        codec, message = server.next()
        assert not isinstance(codec.decode_server(message), Refusal | Fatal)
        fuzz.feed(codec, message)
    return fuzz.report


def said(report: Report, seconds: float) -> str:
    """What a run did, in a line."""
    rate, slowest = report.frames / seconds, report.slowest_s * 1000
    return f"{report.frames} frames, {rate:.0f}/s, slowest {slowest:.1f} ms, {report.outcomes}"


def check_variety(report: Report) -> None:
    """The stream is worth its time: every error and close occurs, and frames get through."""
    assert {code.value for code in ERRORS} <= set(report.outcomes)
    assert {code.reason for code in CLOSES} <= set(report.outcomes)
    assert {"Hello", "Chat", "ToolResult", "Attach", "Approve"} <= set(report.outcomes)


@pytest.fixture
def heap_apart() -> Iterator[None]:
    """Collections triggered by an input must not walk what thousands of earlier tests left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("heap_apart")
def test_damaged_frames() -> None:
    """Thirty thousand of them, the same in every run."""
    check_variety(run(SHORT))


@pytest.mark.long
@pytest.mark.usefixtures("heap_apart")
def test_a_million_damaged_frames(capsys: pytest.CaptureFixture[str]) -> None:
    """The long form, which says what it did."""
    started = time.process_time()
    report = run(LONG)
    check_variety(report)
    with capsys.disabled():
        sys.stdout.write(f"\n{said(report, time.process_time() - started)}\n")


@pytest.mark.usefixtures("heap_apart")
def test_no_known_hostile_input_holds_the_processor() -> None:
    """The largest and most twisted ones, each at its fastest of three."""
    slow = {}
    for row in rows("refusals"):
        if row["layer"] not in {"codec", "session"} or "cut" in row:
            continue
        for codec, message in messages(row):
            took = min(_time_to_read(codec, message) for _ in range(3))
            if took > LONGEST_S:
                slow[f"{row['class']} {row['name']}"] = f"{took * 1000:.0f} ms"
    assert slow == {}


def test_the_stream_is_the_same_for_the_same_seed() -> None:
    """So that a failure can be had again."""
    one, other = Mutator(1, "client"), Mutator(1, "client")
    assert [one.next() for _ in range(100)] == [other.next() for _ in range(100)]


def test_a_client_takes_damaged_frames_of_a_server_for_unknown() -> None:
    """It never raises, and what it can't read has a place in the log or none."""
    server = Mutator(2, "server")
    unknown = 0
    for _ in range(3000):
        codec, message = server.next()
        frame = codec.decode_server(message)
        if isinstance(frame, Unknown):
            unknown += 1
            assert frame.seq >= 0
    assert 0 < unknown < 3000
