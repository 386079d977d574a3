"""A link outlives its connections."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from protocol.client_states import State
from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.news import Answered, Moved, News
from server.cli.link import Link, LinkStopped
from tests.support.peer import PATIENCE_S, Log, Peer, peering


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that does as it is told."""
    async with peering() as listening:
        yield listening


class Ear:
    """Keeps the news."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def __call__(self, news: News) -> None:
        self.news.append(news)

    @property
    def answers(self) -> list[object]:
        """What was answered."""
        return [news.answer for news in self.news if isinstance(news, Answered)]


def link_to(peer: Peer, ear: Ear | None = None, **rest: object) -> Link:
    """A link that never waits before it comes again."""
    return Link(peer.socket, token="t-1", on_news=ear, chance=lambda: 0.0, **rest)  # type: ignore[arg-type]


async def until(link: Link, condition: object) -> None:
    """Wait, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        await link.until(condition)  # type: ignore[arg-type]


async def test_it_greets_with_its_token_and_its_name(peer: Peer) -> None:
    """And leaves with a close of its own."""
    info = c.ClientInfo(name="test", version="1")
    async with link_to(peer, info=info) as link:
        line = await peer.arrival()
        hello = await line.welcome()
        assert (hello.token, hello.client) == ("t-1", info)
        await until(link, lambda: link.welcome is not None)
        assert "t-1" not in repr(link)
    await line.gone()


async def test_a_request_is_answered_once_however_often_the_line_is_cut(peer: Peer) -> None:
    """It leaves again, with the same id, until its answer comes."""
    ear, log = Ear(), Log()
    async with link_to(peer, ear) as link:
        line = await peer.line()
        link.submit(c.Chat(id="a", content="hi"))
        assert (await line.asked(c.Chat)).id == "a"
        line.cut()
        line = await peer.line()
        again = await line.asked(c.Chat)
        assert again.id == "a"
        await line.send(*log.begin(again))
        await until(link, lambda: ear.answers)
    assert [type(answer) for answer in ear.answers] == [s.Ack]


async def test_it_follows_on_from_where_it_stands(peer: Peer) -> None:
    """Also where what it has already comes again."""
    ear, log = Ear(), Log()
    async with link_to(peer, ear) as link:
        line = await peer.line()
        link.submit(c.Chat(id="a", content="hi"))
        await line.send(*log.begin(await line.asked(c.Chat)), chunk := log.chunk("one "))
        await until(link, lambda: link.replicas and link.replicas["c-1"].position.seq == 4)  # type: ignore[union-attr]
        line.cut()
        line = await peer.arrival()
        (wanted,) = (await line.welcome()).attach or []
        assert (wanted.epoch, wanted.seq) == ("e-1", 4)
        await line.send(log.resumed(wanted), chunk, log.chunk("two"), log.complete())
        await until(link, lambda: not link.replicas["c-1"].answers)
        assert link.replicas["c-1"].messages["m-2"].content == "one two"


async def test_a_close_for_good_ends_all_waiting(peer: Peer) -> None:
    """Whoever waits hears why."""
    async with link_to(peer) as link:
        line = await peer.arrival()
        await line.asked(c.Hello)
        await line.close(CloseCode.FORBIDDEN)
        with pytest.raises(LinkStopped, match=str(int(CloseCode.FORBIDDEN))):
            await until(link, lambda: False)
        with pytest.raises(LinkStopped):
            await until(link, lambda: False)


async def test_a_server_that_has_no_room_is_asked_again(peer: Peer) -> None:
    """After the delay that it names."""
    peer.refusals = [HTTPStatus.SERVICE_UNAVAILABLE] * 2
    async with link_to(peer, ear := Ear()) as link:
        await peer.line()
        await until(link, lambda: link.state is State.OPEN)
    assert [news.close for news in ear.news if isinstance(news, Moved) and news.close] == [
        CloseCode.OVERLOADED,
        CloseCode.OVERLOADED,
        CloseCode.NORMAL,
    ]


async def test_a_draining_server_is_left_for_another(peer: Peer) -> None:
    """At once, where it says so."""
    async with link_to(peer) as link:
        line = await peer.line()
        await line.goaway()
        await peer.line()
        await until(link, lambda: link.state is State.OPEN)


async def test_a_token_that_ends_is_renewed(peer: Peer) -> None:
    """On the open socket when it is expiring, and with a new one when it has expired."""
    tokens = ["t-2", "t-3"]

    async def renew() -> str | None:
        return tokens.pop(0)

    async with link_to(peer, renew=renew) as link:
        line = await peer.line()
        await line.send(s.Expiring(in_s=60))
        assert (await line.asked(c.Auth)).token == "t-2"
        await line.send(s.Ok(ref="auth"))
        await line.close(CloseCode.TOKEN_EXPIRED)
        line = await peer.arrival()
        assert (await line.welcome()).token == "t-3"
        await until(link, lambda: link.state is State.OPEN)


async def test_without_another_token_the_end_of_one_is_the_end(peer: Peer) -> None:
    """Nobody waits for ever."""

    async def renew() -> str | None:
        return None

    async with link_to(peer, renew=renew) as link:
        line = await peer.line()
        await line.close(CloseCode.TOKEN_EXPIRED)
        with pytest.raises(LinkStopped):
            await until(link, lambda: False)


async def test_a_server_that_says_nothing_is_trouble(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is not there; and it is tried again."""
    monkeypatch.setattr("server.cli.link.CONNECT_S", 0.05)
    async with link_to(peer) as link:
        await peer.arrival()
        await until(link, lambda: link.state is State.WAITING)
        assert isinstance(link.trouble, TimeoutError)
        await peer.arrival()


async def test_a_server_that_babbles_is_trouble_as_well(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it says, it lets nobody in; a person reads which of the two it is."""
    monkeypatch.setattr("server.cli.link.CONNECT_S", 0.5)
    async with link_to(peer) as link:
        line = await peer.arrival()
        await line.babble()
        await until(link, lambda: link.state is State.WAITING)
        assert str(link.trouble) == "it says nothing that Parley says"


async def test_hanging_up_before_the_welcome_is_trouble_that_is_counted(peer: Peer) -> None:
    """By connections in a row: one that was let in begins anew."""
    async with link_to(peer) as link:
        for times in (1, 2):
            line = await peer.arrival()
            await line.asked(c.Hello)
            await line.close(CloseCode.INTERNAL_ERROR)
            await until(link, lambda times=times: getattr(link.trouble, "times", 0) == times)
        line = await peer.line()
        await until(link, lambda: link.state is State.OPEN)
        line.cut()
        line = await peer.arrival()
        await line.asked(c.Hello)
        assert link.trouble is None
        line.cut()
        await until(link, lambda: link.trouble is not None)
        assert str(link.trouble) == "hung up before it let us in"
        assert getattr(link.trouble, "times", 0) == 1


async def test_a_token_too_long_for_the_greeting_comes_in_the_header(peer: Peer) -> None:
    """By each connection; a short one stays out of it."""
    token = "t" * 5000
    async with Link(peer.socket, token=token, chance=lambda: 0.0) as link:
        for _ in range(2):
            line = await peer.arrival()
            assert (await line.welcome()).token is None
            assert line.authorization == f"Bearer {token}"
            await until(link, lambda: link.state is State.OPEN)
            line.cut()
    async with link_to(peer):
        line = await peer.arrival()
        assert (await line.welcome()).token == "t-1"
        assert line.authorization is None


async def test_an_error_of_the_block_comes_out_as_it_is(peer: Peer) -> None:
    """And so does one of whoever hears the news."""
    with pytest.raises(KeyError):
        async with link_to(peer):
            raise KeyError

    def deaf(news: News) -> None:
        if isinstance(news, Moved) and news.state is State.OPEN:
            raise BrokenPipeError

    async def listen() -> None:
        async with Link(peer.socket, on_news=deaf) as link:
            await peer.line()
            await until(link, lambda: False)

    with pytest.raises(BrokenPipeError):
        await listen()


async def test_what_is_refused_is_answered_with_the_refusal(peer: Peer) -> None:
    """It is news, not an exception."""
    async with link_to(peer, ear := Ear()) as link:
        line = await peer.line()
        link.submit(c.Stop(answer="m-9"))
        await line.asked(c.Stop)
        code = ErrorCode.NOT_FOUND
        await line.send(s.Error(code=code, message="no", retryable=False, trace="t", ref="m-9"))
        await until(link, lambda: ear.answers)
        link.follow("c-9")
        await line.asked(c.Attach)
        link.unfollow("c-9")
        await line.send(s.Error(code=code, message="no", retryable=False, trace="t", ref="c-9"))
        await line.asked(c.Detach)
