"""The generator of load is itself right: it counts what came, however it came."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from protocol.codec import JSON
from server.net.framing import framed
from tests.load.asking import Reader, Tally
from tests.load.floor import Floor
from tests.load.measures import Figure, quantile
from tests.load.peer import Peer, Refused, connect, greeted
from tests.load.rows import NONE, Row, at_least, at_most, near, report, times_floor
from tests.load.table import number, table

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
PAYLOADS = [b"{}", b"x" * 125, b"x" * 126, b"y" * 65_535, b"z" * 65_536]


@pytest.fixture(params=[False, True], ids=["at once", "in turns"])
async def floor(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a floor that answers with three tokens."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Floor(3, turns=request.param), "127.0.0.1", 0
    )
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
async def test_frames_are_found_wherever_the_bytes_are_cut(size: int) -> None:
    """The kernel knows of no frames."""
    peer = Peer(urlsplit("ws://h/ws"), JSON)
    heard: list[bytes] = []
    peer.on_frame = heard.append
    stream = UPGRADED + b"".join(framed(payload, binary=False) for payload in PAYLOADS)
    for start in range(0, len(stream), size):
        peer.data_received(stream[start : start + size])
    await peer.opened
    assert heard == PAYLOADS


async def test_a_refusal_says_with_which_status_and_when_to_come_back() -> None:
    """Before the upgrade a server may answer in HTTP."""
    peer = Peer(urlsplit("ws://h/ws"), JSON)
    peer.data_received(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n")
    with pytest.raises(Refused, match="503") as refusal:
        await peer.opened
    assert refusal.value.retry_after_s == 7


async def test_a_reader_asks_again_when_its_answer_ended(floor: str) -> None:
    """So a server always has as many answers to give as there are readers."""
    peer, tally = await greeted(floor, JSON, None), Tally()
    reader = Reader(peer, tally, "{}")
    thrice = asyncio.Event()

    def ended(_: object) -> None:
        if tally.answers == 3:
            thrice.set()
        else:
            reader.ask()

    reader.on_complete = ended
    reader.ask()
    await thrice.wait()
    assert (tally.answers, tally.tokens, tally.errors) == (3, 9, {})
    peer.abort()


async def test_nobody_there_is_an_error_of_the_system() -> None:
    """The load counts it and goes on."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError, match="Connect"):
        await connect(f"ws://127.0.0.1:{port}/ws", JSON)


def test_quantiles_are_of_what_was_seen() -> None:
    """Not between two values."""
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 3.0
    assert quantile([1.0], 0.99) == 1.0
    assert quantile([], 0.5) != quantile([], 0.5)  # not a number


def test_a_figure_is_shown_as_the_middle_of_its_runs_and_as_a_ratio() -> None:
    """And a generator without time to spare is named."""
    floor = Row("", "floor", "/s", figures=[Figure(value) for value in (100.0, 90.0, 300.0)])
    row = Row("1", "tokens", "/s", times_floor(1.2), floor)
    row.figures = [Figure(50.0, 1.0, 0.99), Figure(60.0, 1.0, 0.99), Figure(40.0, 1.0, 0.2)]
    text = report([floor, row])
    assert "| 50.0 /s | 40.0-60.0 | 0.50" in text
    assert "WARNING: the generator was saturated in 'tokens'" in text
    assert "'floor'" not in text


def test_each_goal_is_said_to_be_reached_or_missed() -> None:
    """By the middle run, of the value or of the ratio; not at all where something went wrong."""
    floor = Row("", "floor", "/s", figures=[Figure(100.0)])
    verdicts = [
        (at_most(5), [4.0, 5.0, 9.0], ""),
        (at_most(5), [4.0, 6.0, 9.0], ""),
        (at_most(5), [4.0], "2 of 3; NOT WELL: 1 lost"),
        (at_least(80), [79.0], ""),
        (near(1, 0.05), [104.0], ""),
        (near(1, 0.05), [94.0], ""),
        (times_floor(1.2), [121.0], ""),
        (NONE, [121.0], ""),
    ]
    rows = [
        Row("1", "tokens", "/s", goal, floor, [Figure(value, note=note) for value in values])
        for goal, values, note in verdicts
    ]
    assert [row.verdict() for row in rows] == [
        "reached",
        "MISSED",
        "NOT WELL",
        "MISSED",
        "reached",
        "MISSED",
        "reached",
        "",
    ]


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    """It can be pasted into a note."""
    assert table(["a", "b"], [["1", "long"]]).splitlines() == [
        "| a | b    |",
        "|---|------|",
        "| 1 | long |",
    ]
    assert [number(value) for value in (1234.5, 123.4, 12.34, 1.234)] == [
        "1,234",
        "123",
        "12.3",
        "1.23",
    ]
