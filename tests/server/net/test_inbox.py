"""What waits for the application."""

import asyncio
from functools import partial

from server.net.inbox import BYTES, MESSAGES, Inbox

CONNECT = {"type": "websocket.connect"}


async def test_events_come_in_order_and_the_last_for_ever() -> None:
    """The connect, the messages, then that the client is gone, however often one asks."""
    inbox = Inbox()
    inbox.put("a")
    inbox.put(b"b")
    inbox.end(1000)
    inbox.end(1006)
    assert [await inbox.get() for _ in range(5)] == [
        CONNECT,
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 1000},
        {"type": "websocket.disconnect", "code": 1000},
    ]


async def test_a_waiting_reader_is_woken() -> None:
    """By a message, and by the end."""
    inbox = Inbox()
    await inbox.get()
    for wake in (partial(inbox.put, "a"), partial(inbox.end, 1000)):
        reader = asyncio.ensure_future(inbox.get())
        await asyncio.sleep(0)
        assert not reader.done()
        wake()
        assert await reader


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    """The next one gets the message."""
    inbox = Inbox()
    await inbox.get()
    reader = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    reader.cancel()
    inbox.put("a")
    assert await inbox.get() == {"type": "websocket.receive", "text": "a"}


async def test_it_is_full_by_messages_or_by_bytes_until_it_is_empty() -> None:
    """Many small messages weigh as much as a few big ones."""
    for message, count in (("", MESSAGES), ("x" * (BYTES // 2), 2)):
        inbox = Inbox()
        await inbox.get()
        for _ in range(count):
            assert not inbox.full
            inbox.put(message)
        assert inbox.full
        for _ in range(count):
            assert not inbox.empty
            await inbox.get()
        assert inbox.empty
        assert not inbox.full


async def test_what_nobody_wants_is_dropped() -> None:
    """After our own close only its end is left."""
    inbox = Inbox()
    inbox.put("a")
    inbox.drop()
    inbox.end(4004)
    assert await inbox.get() == {"type": "websocket.disconnect", "code": 4004}
