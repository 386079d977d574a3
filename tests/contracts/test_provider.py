"""What every provider of models keeps to, whatever it says."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from protocol.frames.objects import Json, Sources
from protocol.text import utf16_length, well_formed
from protocol.types import FINISH_REASONS, Outcome
from server.providers.base import (
    CallsTool,
    Cites,
    Finished,
    ModelEvent,
    ModelFailed,
    ModelRequest,
    Provider,
    Thinking,
    ToolOutcome,
)
from server.providers.offline import Offline
from server.providers.scripted import Scripted
from storage.values import EMPTY_OBJECT, Spent
from tests.support.models import asks, collect, script, some, text_of

SOURCE = {"document": "d1", "title": "Guide", "start": 0, "end": 5}
CITED = [{"start": 0, "end": 2, "sources": [SOURCE]}, {"start": 2, "end": 4, "sources": [SOURCE]}]
OUTCOME = ToolOutcome(
    call="t_1", name="clock", arguments=EMPTY_OBJECT, result="half past nine", failed=False
)


class Case(Struct, frozen=True):
    """A provider and something to ask it."""

    make: Callable[[], Provider]
    request: ModelRequest


def offline(*contents: str) -> Case:
    return Case(lambda: Offline(word_s=0), asks(*contents))


def scripted(*, step: int = 0, **fields: Any) -> Case:
    outcomes = (OUTCOME,) * step
    return Case(Scripted, asks(script(**fields), step=step, outcomes=outcomes))


CLOCK = {"name": "clock", "arguments": {"zone": "UTC"}, "approval": True}
EVERYTHING: dict[str, Any] = {"tokens": 4, "text": "😀", "thought": "hm", "citations": CITED}
ENDING = {
    "offline, first message": offline("hello"),
    "offline, with a past": offline("My train leaves at nine.", "Well.", "When does it leave?"),
    "offline, other scripts": offline("我的船星期二开。", "好", "船什么时候开？"),
    "offline, broken text": offline("a\ud800\0", "x", "\udc00?"),
    "offline, nothing": offline(""),
    "offline, a megabyte": offline("a. " * 300_000, "x", "e\u0301" * 500_000),
    "scripted, plain": scripted(tokens=5),
    "scripted, no tokens": scripted(tokens=0),
    "scripted, paced": scripted(tokens=3, every_ms=1, first_ms=1),
    "scripted, everything": scripted(**EVERYTHING),
    "scripted, calling a tool": scripted(at=2, tool=CLOCK, **EVERYTHING),
    "scripted, after its tool": scripted(step=1, at=2, tool=CLOCK, **EVERYTHING),
}
FAILING = {
    "scripted, no script": Case(Scripted, asks("hello")),
    "scripted, failing at once": scripted(fail="error"),
    "scripted, failing later": scripted(tokens=5, fail="error", at=3, thought="hm"),
    "scripted, failing at the end": scripted(tokens=2, fail="error", at=2),
}
CUT = {"scripted, cut": scripted(tokens=5, fail="cut", at=3)}

ending = pytest.mark.parametrize("case", ENDING.values(), ids=ENDING)
failing = pytest.mark.parametrize("case", FAILING.values(), ids=FAILING)
any_case = pytest.mark.parametrize(
    "case", (ENDING | FAILING | CUT).values(), ids=ENDING | FAILING | CUT
)


async def heard(
    case: Case, provider: Provider | None = None
) -> tuple[list[ModelEvent], ModelFailed | None]:
    """Everything that is said, by a provider of its own if by no other."""
    events: list[ModelEvent] = []
    try:
        await collect((provider or case.make()).stream(case.request), events)
    except ModelFailed as failure:
        return events, failure
    return events, None


class TestEnding:
    @ending
    async def test_the_last_event_and_no_other_is_finished(self, case: Case) -> None:
        """A step that calls tools has no reason to end, every other has one."""
        events, failure = await heard(case)
        assert failure is None
        *others, last = events
        assert isinstance(last, Finished)
        assert not any(isinstance(event, Finished) for event in others)
        assert (last.reason is None) == any(isinstance(event, CallsTool) for event in others)
        assert last.reason is None or last.reason in FINISH_REASONS[Outcome.COMPLETE]

    @failing
    async def test_a_failure_is_told_and_is_no_end(self, case: Case) -> None:
        """Its words fit the frame that tells a person."""
        events, failure = await heard(case)
        assert failure is not None
        assert not any(isinstance(event, Finished) for event in events)
        assert 0 < len(failure.message) <= 1024
        assert well_formed(failure.message)

    async def test_a_stream_that_is_cut_has_not_finished(self) -> None:
        """Who reads it sees a failure in that."""
        events, failure = await heard(CUT["scripted, cut"])
        assert failure is None
        assert not any(isinstance(event, Finished) for event in events)

    @any_case
    async def test_nothing_follows_the_end(self, case: Case) -> None:
        """However often it is asked."""
        stream = case.make().stream(case.request)
        with suppress(ModelFailed):
            await collect(stream, [])
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    @any_case
    async def test_the_same_request_gets_the_same_answer(self, case: Case) -> None:
        """From another provider of the kind, and again from one that has answered."""
        first, failure = await heard(case)
        provider = case.make()
        for _ in range(2):
            again, other = await heard(case, provider)
            assert again == first
            assert str(other) == str(failure)


class TestEvents:
    @any_case
    async def test_text_may_travel(self, case: Case) -> None:
        """It is never empty, and whole."""
        events, _ = await heard(case)
        for event in events:
            if isinstance(event, Thinking):
                event = event.text  # noqa: PLW2901  # the same holds for it
            if isinstance(event, str):
                assert event
                assert type(event) is str
                assert well_formed(event)

    @any_case
    async def test_citations_are_spans_of_what_was_said(self, case: Case) -> None:
        """Of this step, before they came; and frames can carry their sources."""
        events, _ = await heard(case)
        for place, event in enumerate(events):
            if isinstance(event, Cites):
                assert 0 <= event.start < event.end <= utf16_length(text_of(events[:place]))
                msgspec.json.decode(event.sources, type=Sources)

    @any_case
    async def test_calls_come_last_and_frames_can_carry_them(self, case: Case) -> None:
        """Nothing but the end follows them."""
        events, _ = await heard(case)
        calls = [event for event in events if isinstance(event, CallsTool)]
        if calls:
            assert events[-1 - len(calls) : -1] == calls
        for call in calls:
            assert msgspec.json.decode(call.arguments, type=dict[str, Json]) == CLOCK["arguments"]

    async def test_a_tool_parts_an_answer_that_is_else_the_same(self) -> None:
        """What the steps say makes what is said without a tool."""
        steps = [
            await heard(ENDING[name])
            for name in ("scripted, calling a tool", "scripted, after its tool")
        ]
        whole, _ = await heard(ENDING["scripted, everything"])
        assert "".join(text_of(events) for events, _ in steps) == text_of(whole)


class TestSpending:
    @ending
    async def test_what_was_spent_is_what_a_cut_there_would_have_cost(self, case: Case) -> None:
        """Whoever stops an answer is told the same sum as whoever waits for its end."""
        events, _ = await heard(case)
        last = events[-1]
        assert isinstance(last, Finished)
        assert last.spent == case.make().spent(case.request, text_of(events))
        pieces = sum(isinstance(event, str) for event in events)
        assert last.spent.completion_tokens == pieces

    @any_case
    async def test_more_text_never_costs_less(self, case: Case) -> None:
        """And nothing is negative."""
        events, _ = await heard(case)
        provider, before = case.make(), Spent()
        for place in range(len(events) + 1):
            spent = provider.spent(case.request, text_of(events[:place]))
            assert spent.prompt_tokens >= before.prompt_tokens
            assert spent.completion_tokens >= before.completion_tokens
            assert spent.cost_nano >= before.cost_nano
            before = spent

    @failing
    async def test_a_failure_says_what_it_has_cost(self, case: Case) -> None:
        """As much as a cut there."""
        events, failure = await heard(case)
        assert failure is not None
        assert failure.spent == case.make().spent(case.request, text_of(events))


class TestClosing:
    @any_case
    async def test_closing_at_any_event_ends_it_for_good(self, case: Case) -> None:
        """No task is left, and nothing more comes."""
        events, _ = await heard(case)
        before = asyncio.all_tasks()
        for count in {*range(min(len(events), 12) + 1), len(events)}:
            stream = case.make().stream(case.request)
            await some(stream, count)
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        assert asyncio.all_tasks() == before

    @pytest.mark.parametrize(
        "case",
        [
            scripted(fail="stall"),
            scripted(first_ms=600_000),
            Case(lambda: Offline(word_s=600), asks("hello")),
        ],
        ids=["stalled", "not begun", "slow"],
    )
    async def test_one_who_waits_can_leave(self, case: Case) -> None:
        """A cancelled reader ends the model's work at once."""
        before = asyncio.all_tasks()
        reader = asyncio.create_task(heard(case))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reader.done()
        reader.cancel()
        await asyncio.wait({reader})
        assert reader.cancelled()
        assert asyncio.all_tasks() == before

    @any_case
    async def test_a_stream_that_is_never_read_does_nothing(self, case: Case) -> None:
        """Work begins with the first event that is asked for."""
        stream = case.make().stream(case.request)
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


class TestBounds:
    @ending
    async def test_max_tokens_bounds_a_step(self, case: Case) -> None:
        """What it takes away is named as the reason."""
        events, _ = await heard(case)
        whole = text_of(events)
        pieces = sum(isinstance(event, str) for event in events)
        for most in (1, 2, 1000):
            request = msgspec.structs.replace(case.request, max_tokens=most)
            cut, _ = await heard(msgspec.structs.replace(case, request=request))
            last = cut[-1]
            assert isinstance(last, Finished)
            assert last.spent.completion_tokens == min(most, pieces)
            assert whole.startswith(text_of(cut))
            assert (last.reason == "length") == (most < pieces)

    async def test_many_at_once_do_not_hear_each_other(self) -> None:
        """One provider serves everybody."""
        for make in (lambda: Offline(word_s=0), Scripted):
            cases = [case for case in ENDING.values() if type(case.make()) is type(make())]
            provider: Provider = make()
            together = await asyncio.gather(*(heard(case, provider) for case in cases))
            assert together == [await heard(case) for case in cases]
