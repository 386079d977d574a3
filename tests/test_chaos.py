"""The proxy that other tests put into links: each fault is met as the network would bring it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.chaos import How, Link, Way, chaos
from tests.support.waiting import until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says everything back, and remembers what it was told and how that ended."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            self.ends.append("fin")
        except ConnectionResetError:
            self.ends.append("rst")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """It listens."""
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        yield echo


@pytest.fixture
async def link(echo: Echo) -> AsyncIterator[Link]:
    """A link to it."""
    async with chaos(echo.port) as link:
        yield link


@pytest.fixture
async def streams(link: Link) -> AsyncIterator[Streams]:
    """A connection through the link that has worked once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"hi")
    assert await reader.readexactly(2) == b"hi"
    yield reader, writer
    writer.close()


async def test_a_link_without_faults_carries_bytes_and_ends(streams: Streams, echo: Echo) -> None:
    """Both ways, and a half that is closed is closed at the other end."""
    reader, writer = streams
    writer.write(b"x" * 200_000)
    assert await reader.readexactly(200_000) == b"x" * 200_000
    writer.write_eof()
    assert await reader.read() == b""
    assert echo.ends == ["fin"]


async def test_a_silent_link_loses_nothing(streams: Streams, link: Link, echo: Echo) -> None:
    """Nothing comes and nothing closes, for new connections too; healed, all of it comes."""
    reader, writer = streams
    link.silence()
    writer.write(b"one")
    other, speaks = await asyncio.open_connection("127.0.0.1", link.port)
    speaks.write(b"two")
    waiting = {asyncio.ensure_future(reader.read(3)), asyncio.ensure_future(other.read(3))}
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert done == set()
    assert echo.heard == b"hi"
    link.heal()
    assert {await each for each in waiting} == {b"one", b"two"}
    speaks.close()


async def test_a_link_can_be_slow(streams: Streams, link: Link) -> None:
    """Latency is of each piece, bandwidth of each byte."""
    reader, writer = streams
    link.up, link.down = Way(latency_s=0.05), Way(bytes_per_s=2000)
    began = asyncio.get_running_loop().time()
    writer.write(b"x" * 100)
    await reader.readexactly(100)
    assert asyncio.get_running_loop().time() - began >= 0.1


async def test_bytes_can_come_one_by_one(link: Link) -> None:
    """Each read finds one."""
    link.down = Way(piece=1, latency_s=0.002)
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"abc")
    assert [await reader.read(100) for _ in range(3)] == [b"a", b"b", b"c"]
    writer.close()


async def test_a_byte_can_be_wrong(streams: Streams, link: Link) -> None:
    """One, at its place, in one direction."""
    reader, writer = streams
    link.up = Way(corrupt_after=1)
    writer.write(b"aaaa")
    assert await reader.readexactly(4) == b"a\x9eaa"
    writer.write(b"aaaa")
    assert await reader.readexactly(4) == b"aaaa"


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_connection_is_reset_after_so_many_bytes(
    streams: Streams, link: Link, echo: Echo, way: str
) -> None:
    """What lies before has passed."""
    reader, writer = streams
    setattr(link, way, Way(cut_after=2))
    writer.write(b"aaaa")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(4)
    await until(lambda: echo.ends)
    assert len(echo.heard) == (4 if way == "up" else 6)
    assert link.cuts == 1


@pytest.mark.parametrize(("how", "met"), [(How.RST, "rst"), (How.FIN, "fin")])
async def test_all_connections_end_at_once(
    streams: Streams, link: Link, echo: Echo, how: How, met: str
) -> None:
    """Both ends meet it, and the next connection is well."""
    reader, _ = streams
    link.cut(how)
    if how is How.RST:
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    else:
        assert await reader.read(1) == b""
    await until(lambda: echo.ends)
    assert echo.ends == [met]
    await until(lambda: len(link) == 0)


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_word_can_be_the_last(
    streams: Streams, link: Link, echo: Echo, arrived: bool
) -> None:
    """The client does not learn whether the server heard it."""
    reader, writer = streams
    link.cut_at(b"COMMIT", arrived=arrived)
    writer.write(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(6)
    await until(lambda: echo.ends)
    assert echo.heard == (b"hiCOMMIT" if arrived else b"hi")


async def test_a_link_refuses_and_opens_again(streams: Streams, link: Link) -> None:
    """On the same port; what is connected stays so."""
    reader, writer = streams
    link.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    await link.open()
    _, other = await asyncio.open_connection("127.0.0.1", link.port)
    other.close()


async def test_nobody_behind_a_link_is_a_reset(link: Link) -> None:
    """As a server that went."""
    link.target = 1
    reader, _ = await asyncio.open_connection("127.0.0.1", link.port)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)


class Backwards:
    """Holds back what it is fed, and gives it out from its end."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Nothing goes on yet."""
        self._held += data
        return b""

    def rest(self) -> bytes:
        """All of it."""
        held, self._held = self._held, b""
        return held[::-1]


async def test_a_filter_has_the_last_word(link: Link) -> None:
    """Of what comes, and of when."""
    link.down = Way(filter=Backwards)
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"abc")
    assert await reader.readexactly(3) == b"cba"
    writer.close()
