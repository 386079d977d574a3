"""What a person asks and sees of a conversation, over cuts and restarts."""

from collections.abc import AsyncIterator

import pytest

from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.types import Outcome, ResetReason, ToolState
from server.cli.access import AccessFailed
from tests.server.cli.screens import Chatting
from tests.support.peer import Log, Peer, peering


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A server that does as it is told."""
    async with peering() as listening:
        yield listening


async def test_an_answer_is_written_as_it_comes(peer: Peer) -> None:
    """What it took stands behind it, apart from the text."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hel"))
        await me.shown("Hel")
        await line.send(log.chunk("lo"), log.complete())
        await me.until(lambda: me.talk.idle)
    assert me.screens.out == "Hello\n"
    assert "3 tokens (1 in, 2 out) · $0.5000 · scripted · 1.5 s\n" in me.screens.err
    assert (me.talk.outcome, me.talk.stopped) == (Outcome.COMPLETE, False)


async def test_after_a_cut_it_goes_on_without_a_letter_twice(peer: Peer) -> None:
    """And says that it was cut, and that it goes on."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), chunk := log.chunk("Hel"))
        await me.shown("Hel")
        line.cut()
        line = await peer.arrival()
        (wanted,) = (await line.welcome()).attach or []
        await line.send(log.resumed(wanted), chunk, log.chunk("lo"), log.complete())
        await me.until(lambda: me.talk.idle)
    assert me.screens.out == "Hello\n"
    assert "connection lost, resuming…\nresumed\n" in me.screens.err


async def test_a_lost_log_is_told_and_its_text_not_repeated(peer: Peer) -> None:
    """The snapshot begins with what is shown."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hel"))
        await me.shown("Hel")
        await line.close(CloseCode.RESTART)
        line = await peer.line()
        log.chunk("lo ")
        await line.send(log.snapshot(epoch="e-2"), log.chunk("you"), log.complete())
        await me.until(lambda: me.talk.idle)
    assert me.screens.out == "Hello you\n"
    assert (
        "the server restarts, resuming…\nresumed from what the server had saved" in me.screens.err
    )


async def test_an_answer_that_the_server_lost_the_end_of_says_so(peer: Peer) -> None:
    """What was shown is not shown again."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("Hello"))
        await me.shown("Hello")
        line.cut()
        line = await peer.line()
        log.text = "Hel"
        await line.send(log.snapshot(epoch="e-2", ended=Outcome.INTERRUPTED))
        await me.until(lambda: me.talk.idle)
    assert me.screens.out == "Hello\n"
    assert "it saved the first 3 of these 5 characters" in me.screens.err
    assert "interrupted before the answer was whole" in me.screens.err
    assert me.talk.outcome is Outcome.INTERRUPTED


async def test_a_reset_begins_the_answer_anew(peer: Peer) -> None:
    """On a line of its own, and says why."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), log.chunk("bad"))
        await line.send(log.reset(ResetReason.RETRY), log.chunk("good"), log.complete())
        await me.until(lambda: me.talk.idle)
    assert me.screens.out == "bad\ngood\n"
    assert "begins anew: the model failed and is asked again" in me.screens.err


async def test_a_stop_before_the_ack_stops_the_answer_to_come(peer: Peer) -> None:
    """The next answer is not stopped with it."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        assert not me.talk.stop()
        me.talk.say("hi")
        chat = await line.asked(c.Chat)
        assert me.talk.stop()
        await line.send(*log.begin(chat))
        assert (await line.asked(c.Stop)).answer == "m-2"
        await line.send(s.Ok(ref="m-2"), log.complete(Outcome.STOPPED))
        await me.until(lambda: me.talk.idle)
        assert me.talk.stopped
        assert not me.talk.stopping


async def test_what_is_said_before_the_conversation_has_its_name_comes_into_it(peer: Peer) -> None:
    """A second message does not begin a second conversation."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("one")
        me.talk.say("two")
        await line.send(log.ack(await line.asked(c.Chat)))
        second = await line.asked(c.Chat)
        assert (second.content, second.conversation) == ("two", "c-1")


async def test_what_is_refused_says_why(peer: Peer) -> None:
    """And is over."""
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        ref = (await line.asked(c.Chat)).id
        code = ErrorCode.CONTENT_BLOCKED
        await line.send(s.Error(code=code, message="No.", retryable=False, trace="t", ref=ref))
        await me.until(lambda: me.talk.idle)
    assert "Not sent: No. (content_blocked)" in me.screens.err
    assert me.talk.outcome is None


async def test_what_has_to_wait_says_so_once(peer: Peer) -> None:
    """Not at each try; nobody should sit before a screen that says nothing."""
    async with Chatting.at(peer) as me:
        line, log = await peer.line(), Log()
        me.talk.say("hi")
        for _ in range(3):
            ref = (await line.asked(c.Chat)).id
            code = ErrorCode.UNAVAILABLE
            await line.send(s.Error(code=code, message="Away.", retryable=True, trace="t", ref=ref))
        await line.send(log.ack(await line.asked(c.Chat)))
        await me.until(lambda: me.talk.conversation is not None)
    assert me.screens.err.count("Not yet: Away. (unavailable) Trying again…") == 1


async def test_a_call_is_shown_whole_and_decided_once(peer: Peer) -> None:
    """By the person, under the hash of what they read."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)))
        await line.send(log.tool("t-1", ToolState.AWAITING_APPROVAL))
        await me.shown("Allow clock? [y/n] ")
        assert 'The model wants to run clock with {"zone":"UTC"}' in me.screens.err
        me.talk.decide(allow=True)
        assert me.talk.calls == []
        approval = await line.asked(c.Approve)
        assert (approval.call, approval.args_hash, approval.allow) == ("t-1", "h-1", True)


async def test_an_older_conversation_shows_its_running_answer(peer: Peer) -> None:
    """Somebody who comes back sees what is said there now."""
    log = Log()
    async with Chatting.at(peer, "c-1") as me:
        me.link.follow("c-1")
        line = await peer.line()
        await line.asked(c.Attach)
        log.text = "Hel"
        await line.send(log.snapshot(epoch="e-1"))
        await me.until(lambda: me.talk.level)
        await line.send(log.chunk("lo"), log.complete())
        await me.until(lambda: me.talk.idle and me.talk.outcome)
        me.talk.show_history()
        me.talk.regenerate()
        assert (await line.asked(c.Regenerate)).answer == "m-2"
        me.talk.edit("better")
        assert (await line.asked(c.Edit)).message == "m-2-q"
    assert me.screens.out == "Hello\nhi\nHello\n"


async def test_a_conversation_that_is_not_there_is_the_end(peer: Peer) -> None:
    """With a word on whose it may be."""
    async with Chatting.at(peer, "c-9") as me:
        me.link.follow("c-9")
        line = await peer.line()
        code = ErrorCode.NOT_FOUND
        await line.send(s.Error(code=code, message="No.", retryable=False, trace="t", ref="c-9"))
        await me.until(lambda: me.talk.broken)
        with pytest.raises(AccessFailed, match="another user's"):
            me.talk.check()


async def test_a_new_conversation_leaves_the_old_one(peer: Peer) -> None:
    """The next message makes it."""
    log = Log()
    async with Chatting.at(peer) as me:
        line = await peer.line()
        me.talk.show_history()
        me.talk.regenerate()
        me.talk.say("hi")
        await line.send(*log.begin(await line.asked(c.Chat)), log.complete())
        await me.until(lambda: me.talk.idle)
        me.talk.leave()
        assert (await line.asked(c.Detach)).conversation == "c-1"
        me.talk.say("again")
        assert (await line.asked(c.Chat)).conversation is None
    assert "Nothing was said yet." in me.screens.err
