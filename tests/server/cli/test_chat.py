"""`parley chat` ends as its answer did, and says why."""

import asyncio
import io
import os
import re
import signal
from argparse import Namespace
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.types import Outcome
from server import VERSION
from server.cli.access import AccessFailed, given
from server.cli.chat import ATTEMPTS, FINAL, INTERRUPTED, chat
from server.cli.link import CONNECT_S
from tests.server.cli.conftest import Call
from tests.server.cli.screens import Screens
from tests.support.peer import PATIENCE_S, Log, Peer, peering
from tests.support.services import free_port


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that does as it is told."""
    async with peering() as listening:
        yield listening


async def chatting(
    url: str, screens: Screens, message: str | None = "hi", conversation: str | None = None
) -> int:
    """The verb's exit status."""
    args = Namespace(message=message, conversation=conversation, model=None)
    async with asyncio.timeout(PATIENCE_S):
        return await chat(args, url, given("t-1"), screens.terminal, io.StringIO())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits before coming again."""
    monkeypatch.setattr("protocol.backoff.BASE_S", 0.0)


async def hang_up(peer: Peer, code: int | None = None) -> None:
    """Take the next connection's greeting, and end it."""
    line = await peer.arrival()
    await line.asked(c.Hello)
    if code is None:
        line.cut()
    else:
        await line.close(code)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.COMPLETE, 0), (Outcome.FAILED, 1), (Outcome.INTERRUPTED, 1), (Outcome.STOPPED, 1)],
)
async def test_the_status_is_the_answers(peer: Peer, outcome: Outcome, status: int) -> None:
    """A stop from elsewhere is no Ctrl-C of ours."""
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    line = await peer.arrival()
    hello = await line.welcome()
    assert hello.client == c.ClientInfo(name="parley-chat", version=VERSION)
    await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hello"), log.complete(outcome))
    assert await verb == status
    assert screens.out == "Hello\n"


async def test_ctrl_c_stops_the_answer(peer: Peer) -> None:
    """What came until then stays, and the end of it is waited for."""
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    line = await peer.line()
    await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hel"))
    os.kill(os.getpid(), signal.SIGINT)
    assert (await line.asked(c.Stop)).answer == "m-2"
    await line.send(s.Ok(ref="m-2"), log.complete(Outcome.STOPPED))
    assert await verb == INTERRUPTED
    assert screens.out == "Hel\n"


async def test_a_second_ctrl_c_leaves(peer: Peer) -> None:
    """Where the server does not answer the first."""
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    line = await peer.line()
    await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hel"))
    os.kill(os.getpid(), signal.SIGINT)
    await line.asked(c.Stop)
    os.kill(os.getpid(), signal.SIGINT)
    assert await verb == INTERRUPTED
    assert screens.out == "Hel\n"


async def test_ctrl_c_without_a_connection_says_what_it_cannot_do(peer: Peer) -> None:
    """The answer runs on; the second one leaves."""
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    line = await peer.line()
    await line.send(*log.begin(await line.asked(c.Chat)))
    line.cut()
    await peer.arrival()  # which is not let in
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    assert await verb == INTERRUPTED
    assert "no connection to stop it by" in screens.err


async def test_where_nobody_answers_the_remedy_is_named() -> None:
    """At once, without trying for ever."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AccessFailed, match=rf"at {url}.*Start one with scripts/run"):
        await chatting(url, Screens())


async def test_another_kind_of_server_is_none(peer: Peer) -> None:
    """It says what it answered."""
    peer.refusals = [HTTPStatus.NOT_FOUND]
    with pytest.raises(AccessFailed, match=r"No Parley server answers at .*404"):
        await chatting(peer.url, Screens())


@pytest.mark.parametrize("code", FINAL)
async def test_a_close_for_good_has_its_sentence(peer: Peer, code: int) -> None:
    """Each says what to do or what happened."""
    verb = asyncio.ensure_future(chatting(peer.url, Screens()))
    line = await peer.arrival()
    await line.asked(c.Hello)
    await line.close(code)
    with pytest.raises(AccessFailed) as failed:
        await verb
    assert str(failed.value) == FINAL[code]


async def test_a_close_for_good_without_a_sentence_has_its_number(peer: Peer) -> None:
    """So that it can be looked up."""
    verb = asyncio.ensure_future(chatting(peer.url, Screens()))
    line = await peer.arrival()
    await line.asked(c.Hello)
    await line.close(4599)
    with pytest.raises(AccessFailed, match="4599"):
        await verb


async def test_a_busy_server_is_waited_for(peer: Peer) -> None:
    """And the person hears so."""
    peer.refusals = [HTTPStatus.SERVICE_UNAVAILABLE]
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    line = await peer.line()
    await line.send(*log.begin(await line.asked(c.Chat), queued=1), log.complete())
    assert await verb == 0
    assert "the server is busy" in screens.err
    assert "waiting for 1 earlier answer(s)" in screens.err


@pytest.mark.parametrize("code", [None, CloseCode.INTERNAL_ERROR, CloseCode.HELLO_TIMEOUT])
@pytest.mark.usefixtures("hasty")
async def test_a_server_that_only_hangs_up_is_given_up(peer: Peer, code: int | None) -> None:
    """After some attempts, with what came; nothing was open that could be resumed."""
    screens = Screens()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    for _ in range(ATTEMPTS):
        await hang_up(peer, code)
    came = f" (close code {int(code)})" if code else ""
    words = f"{peer.url} hung up before it let us in{came}, {ATTEMPTS} times in a row. "
    with pytest.raises(AccessFailed, match=re.escape(words)):
        await verb
    assert screens.err == f"the server hung up before it let us in{came}, trying again…\n"


@pytest.mark.usefixtures("hasty")
async def test_a_server_that_lets_us_in_at_last_is_talked_to(peer: Peer) -> None:
    """And one that hangs up later, as often as it likes, is come back to."""
    screens, log = Screens(), Log()
    verb = asyncio.ensure_future(chatting(peer.url, screens))
    for _ in range(ATTEMPTS - 1):
        await hang_up(peer)
    line = await peer.line()
    await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hel"))
    line.cut()
    for _ in range(ATTEMPTS):
        await hang_up(peer)
    line = await peer.arrival()
    (wanted,) = (await line.welcome()).attach or []
    await line.send(log.resumed(wanted), log.chunk("lo"), log.complete())
    assert await verb == 0
    assert screens.out == "Hello\n"
    assert "connection lost, resuming…\nresumed\n" in screens.err


@pytest.mark.parametrize("babbles", [False, True])
async def test_a_server_that_does_not_let_us_in_is_named(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, babbles: bool
) -> None:
    """Within the ten seconds that a person has."""
    assert CONNECT_S < 10
    monkeypatch.setattr("server.cli.link.CONNECT_S", 0.5)
    verb = asyncio.ensure_future(chatting(peer.url, Screens()))
    line = await peer.arrival()
    if babbles:
        await line.babble()
    what = "it says nothing that Parley says" if babbles else "it says nothing"
    with pytest.raises(AccessFailed, match=rf"{peer.url} \({what}\)"):
        await verb


async def test_afterwards_ctrl_c_is_whose_it_was(peer: Peer) -> None:
    """What comes while the program ends must not become a traceback."""
    mine = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, lambda *_: None)
        theirs = signal.getsignal(signal.SIGINT)
        peer.refusals = [HTTPStatus.NOT_FOUND]
        with pytest.raises(AccessFailed):
            await chatting(peer.url, Screens())
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, mine)


async def test_a_conversation_of_somebody_else_is_not_opened(peer: Peer) -> None:
    """Before anything is said in it."""
    verb = asyncio.ensure_future(chatting(peer.url, Screens(), conversation="c-9"))
    line = await peer.line()
    await line.asked(c.Attach)
    code = ErrorCode.NOT_FOUND
    await line.send(s.Error(code=code, message="No.", retryable=False, trace="t", ref="c-9"))
    with pytest.raises(AccessFailed, match="c-9 cannot be opened: No"):
        await verb


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "hi", "--conversation", "a b"], "'a b' is no id"),
        (["chat", "hi", "--token", "\udcff"], "The token is no text"),
        (["chat", "hi", "--token", "a b"], "The token is none"),
        (["chat", "hi", "--token", "a\r\nX: b"], "The token is none"),
        (["chat", "hi", "--token", "t" * 8193], "The token is none"),
        (["chat", "hi", "--model", "\udcff"], "The model is no text"),
        (["chat", " "], "The message is empty"),
        (["chat", "hi", "--url", "ftp://x"], "is no address"),
    ],
)
def test_what_cannot_be_asked_is_refused_here(call: Call, arguments: list[str], words: str) -> None:
    """Without a server."""
    status, out, err = call(*arguments)
    assert (status, out) == (1, "")
    assert words in err
