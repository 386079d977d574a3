"""Stored messages as pages that fit a frame."""

import msgspec
from msgspec import Raw, structs

from protocol.frames.objects import Cited, Source, ToolCall
from protocol.types import ToolState
from server.streams.pages import page, slim
from storage.ids import Kind
from tests.support.place import Place


async def test_a_page_has_the_newest_messages_that_fit(place: Place) -> None:
    """And says that older ones exist."""
    exchange = await place.world.exchange(text="b" * 1000)
    row = await place.world.store.history.message(place.world.owner, exchange.answer)
    rows = [structs.replace(row, content=str(n) * 1000) for n in range(5)]
    messages, cut = page(rows, room=3 * 1500)
    assert cut
    assert [message.content[0] for message in messages] == ["2", "3", "4"]
    assert page(rows)[1] is False


async def test_a_message_that_fills_a_frame_by_itself_keeps_its_text(place: Place) -> None:
    """What is said about it goes first, so that whoever reads on comes past it."""
    exchange = await place.world.exchange(text="b" * 1000)
    row = await place.world.store.history.message(place.world.owner, exchange.answer)
    assert row.answered is not None
    cited = Cited(start=0, end=1, sources=[Source(document="d", title="t" * 200)])
    citations = Raw(msgspec.json.encode([cited] * 300))
    answered = structs.replace(row.answered, citations=citations)
    siblings = tuple(place.world.ids(Kind.MESSAGE) for _ in range(1000))
    long = structs.replace(row, content="x" * 200 * 1024, answered=answered, siblings=siblings)
    (_, message), _ = page([row, long])
    assert (message.content, message.citations) == (long.content, None)
    assert len(msgspec.json.encode(message)) <= 252 * 1024


def test_the_oldest_calls_lose_their_results_before_any_loses_its_arguments() -> None:
    """So that what people must act on is seen whole as long as anything is left to leave out."""
    calls = [
        ToolCall(
            call=f"t_{n}",
            name="n",
            state=ToolState.DONE,
            arguments={"a": "x" * 100},
            result="y" * 100,
        )
        for n in range(3)
    ]
    whole = len(msgspec.json.encode(calls))
    assert slim(calls, whole + 10) == calls
    some = slim(calls, whole - 50)
    assert [call.result is None for call in some] == [True, False, False]
    few = slim(calls, whole - 350)
    assert [call.result is None for call in few] == [True, True, True]
    assert [call.arguments is None for call in few] == [True, False, False]
    assert all(call.arguments is None for call in slim(calls, 0))
