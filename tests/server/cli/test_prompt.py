"""What is typed at the prompt, and what it does."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import TextIO

import pytest

from protocol.codes import CloseCode
from protocol.frames import from_client as c
from protocol.types import ToolState
from server.cli.link import LinkStopped
from server.cli.prompt import Prompt
from tests.server.cli.screens import Chatting
from tests.support.peer import PATIENCE_S, Line, Log, Peer, peering


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that does as it is told."""
    async with peering() as listening:
        yield listening


class Keys:
    """A pipe in the place of a keyboard."""

    def __init__(self, stdin: TextIO, descriptor: int) -> None:
        self.stdin = stdin
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        """Enter this."""
        os.write(self._descriptor, text.encode())

    def end(self) -> None:
        """No more comes."""
        os.close(self._descriptor)
        self._descriptor = -1

    def close(self) -> None:
        """Let go of both ends."""
        if self._descriptor >= 0:
            self.end()
        self.stdin.close()


@pytest.fixture
def keys() -> Iterator[Keys]:
    """What the prompt reads from."""
    read, write = os.pipe()
    keys = Keys(open(read), write)  # noqa: PTH123, SIM115 - no path; closed below
    yield keys
    keys.close()


async def conversing(me: Chatting, keys: Keys) -> None:
    """The prompt, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        await Prompt(me.talk, me.screens.terminal).converse(me.link, keys.stdin)


async def answer(line: Line, log: Log, text: str) -> c.Chat:
    """Answer the message that comes next."""
    chat = await line.asked(c.Chat)
    await line.send(*log.begin(chat), log.chunk(text), log.complete())
    return chat


async def test_from_a_pipe_each_message_waits_for_the_answer_before_it(
    peer: Peer, keys: Keys
) -> None:
    """And at its end the last answer is waited for."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        keys.type("one\n\n two\n")
        keys.end()
        talking = asyncio.ensure_future(conversing(me, keys))
        first = await line.asked(c.Chat)
        await line.send(*log.begin(first), log.chunk("ONE"), log.complete())
        log.answer, log.question, log.text = "m-4", "m-3", ""
        second = await answer(line, log, "TWO")
        await talking
    assert [first.content, second.content] == ["one", " two"]
    assert me.screens.out == "ONE\nTWO\n"


async def test_commands_do_what_help_says(peer: Peer, keys: Keys) -> None:
    """What is no command is named; nothing behind /quit is read."""
    async with Chatting.at(peer) as me:
        await peer.line()
        keys.type("/help\n/stop\n/edit\n/edit x\n/regenerate\n/history\n/new\n/fly\n/quit\nmore\n")
        await conversing(me, keys)
    for words in ("/regenerate  another", "Nothing runs.", "/edit TEXT", "no message", "no /fly"):
        assert words in me.screens.err
    assert not me.talk.asked


async def test_while_an_answer_runs_it_can_be_stopped_but_not_replaced(
    peer: Peer, keys: Keys
) -> None:
    """An edit has to wait."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)))
        await me.until(lambda: me.talk.conversation)
        prompt = Prompt(me.talk, me.screens.terminal)
        for command in ("/edit x", "/regenerate", "/new"):
            prompt.enter(command)
        assert me.screens.err.count("An answer runs") == 3
        prompt.enter("/stop")
        assert (await line.asked(c.Stop)).answer == "m-2"


async def test_only_a_plain_word_lets_a_tool_run(peer: Peer, keys: Keys) -> None:
    """Anything else is asked again, and is not sent as a message."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)))
        await line.send(log.tool("t-1", ToolState.AWAITING_APPROVAL))
        await me.until(lambda: me.talk.calls)
        keys.type("yes please\nNo\n")
        talking = asyncio.ensure_future(conversing(me, keys))
        assert not (await line.asked(c.Approve)).allow
        await line.send(log.complete())
        keys.end()
        await talking
    assert me.screens.err.count("Allow clock? [y/n] ") >= 2


async def test_who_leaves_with_a_decision_open_is_told_how_to_come_back(
    peer: Peer, keys: Keys
) -> None:
    """It does not wait for ever."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)))
        await line.send(log.tool("t-1", ToolState.AWAITING_APPROVAL))
        await me.until(lambda: me.talk.calls)
        keys.end()
        await conversing(me, keys)
    assert "waits for you: parley chat --conversation c-1" in me.screens.err


async def test_the_prompt_ends_with_the_link(peer: Peer, keys: Keys) -> None:
    """Nobody types into the void."""
    async with Chatting.at(peer) as me:
        line = await peer.line()
        await me.until(lambda: me.link.welcome)
        talking = asyncio.ensure_future(conversing(me, keys))
        await line.close(CloseCode.REVOKED)
        with pytest.raises(LinkStopped):
            await talking
