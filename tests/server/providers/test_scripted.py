"""What a script makes of an answer."""

import asyncio
import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codes import ErrorCode
from protocol.limits import CONTENT_BYTES, MAX_TOKENS
from protocol.text import utf16_slice, well_formed
from protocol.types import FinishReason
from server.providers.base import (
    CallsTool,
    Cites,
    Finished,
    ModelEvent,
    ModelFailed,
    Thinking,
)
from server.providers.scripted import (
    ARGUMENTS_BYTES,
    COMPLETION_NANO,
    EXAMPLE,
    PROMPT_NANO,
    Scripted,
    read_script,
)
from storage.values import Spent
from tests.support.models import alternation, asks, collect, events, script, some, text_of
from tests.support.virtual import running, virtually

SCRIPTED = Scripted()
SOURCES = [{"document": "d1", "title": "Guide"}]
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH


def spent(prompt: int, completion: int) -> Spent:
    return Spent(prompt, completion, prompt * 1_000 + completion * 10_000)


async def told(content: str, **more: Any) -> list[ModelEvent]:
    return await events(SCRIPTED, asks(content, **more))


async def failure(content: str, **more: Any) -> tuple[list[ModelEvent], ModelFailed]:
    """What came before it failed, and how it failed."""
    before: list[ModelEvent] = []
    with pytest.raises(ModelFailed) as failed:
        await collect(SCRIPTED.stream(asks(content, **more)), before)
    return before, failed.value


class TestTokens:
    async def test_the_empty_script_has_the_contracts_defaults(self) -> None:
        """Two hundred times ` token`, as fast as they are read."""
        *tokens, last = await told("{}")
        assert tokens == [" token"] * 200
        assert last == Finished(reason=STOP, spent=spent(1, 200))

    async def test_tokens_times_text(self) -> None:
        """Each is one event, of whatever length."""
        *tokens, last = await told(script(tokens=3, text="ab 😀"))
        assert tokens == ["ab 😀"] * 3
        assert last == Finished(reason=STOP, spent=spent(2, 3))

    async def test_none_are_an_answer_too(self) -> None:
        """An empty one."""
        assert await told(script(tokens=0)) == [Finished(reason=STOP, spent=spent(1, 0))]

    async def test_the_script_is_the_last_turn_alone(self) -> None:
        """Whatever the earlier ones are, they cost what they hold."""
        request = asks("no script", "well", script(tokens=1), system_prompt="be brief")
        assert await events(SCRIPTED, request) == [
            " token",
            Finished(reason=STOP, spent=spent(2 + 2 + 1 + 1, 1)),
        ]

    async def test_each_leaves_a_turn_to_others(self) -> None:
        """Also when nothing is to be waited for."""
        order = await alternation(SCRIPTED, asks(script(tokens=5)))
        assert order[:6] == [0, 1, 0, 1, 0, 1]

    async def test_a_cut_answer_costs_what_it_had_said(self) -> None:
        """Exactly: whoever stops it knows the text."""
        request = asks(script(tokens=9, text="😀 x"))
        assert SCRIPTED.spent(request, "😀 x" * 4) == spent(2, 4)
        assert SCRIPTED.spent(request, "") == spent(2, 0)
        assert SCRIPTED.spent(asks("no script"), "") == Spent()

    def test_prices_are_those_that_are_told(self) -> None:
        """One dollar and ten dollars per million."""
        assert (PROMPT_NANO, COMPLETION_NANO) == (1_000, 10_000)


class TestThinking:
    async def test_a_thought_precedes_the_text_and_is_free(self) -> None:
        """It is no token."""
        assert await told(script(tokens=1, thought="hm")) == [
            Thinking("hm"),
            " token",
            Finished(reason=STOP, spent=spent(1, 1)),
        ]


class TestPacing:
    def test_first_and_every_are_kept_without_drift(self) -> None:
        """However late the reader is, the schedule stays where it was."""

        async def main() -> list[float]:
            started = running().time()
            at = []
            content = script(tokens=5, first_ms=100, every_ms=20)
            async for event in Scripted().stream(asks(content)):
                if isinstance(event, str):
                    at.append(running().time() - started)
                    running().idle(0.013)
            return at

        at = virtually(main())
        assert at == pytest.approx([0.100, 0.120, 0.140, 0.160, 0.180], abs=0.0011)

    def test_a_reader_who_paused_gets_what_is_overdue(self) -> None:
        """At once, and then the rest on time."""

        async def main() -> list[float]:
            started = running().time()
            at = []
            async for event in Scripted().stream(asks(script(tokens=6, every_ms=20))):
                if isinstance(event, str):
                    at.append(running().time() - started)
                    running().idle(0.07 if len(at) == 1 else 0)
            return at

        at = virtually(main())
        assert at == pytest.approx([0, 0.07, 0.07, 0.07, 0.08, 0.1], abs=0.0011)

    def test_a_failure_waits_for_the_first_moment_too(self) -> None:
        """A slow refusal."""

        async def main() -> float:
            started = running().time()
            with pytest.raises(ModelFailed):
                await events(Scripted(), asks(script(first_ms=700, fail="error")))
            return running().time() - started

        assert virtually(main()) == pytest.approx(0.7, abs=0.0011)

    def test_answers_that_are_paced_alike_share_their_timers(self) -> None:
        """Two hundred answers of fifty tokens a second are to cost little."""

        async def main() -> int:
            provider, content = Scripted(), script(tokens=50, every_ms=20)
            await asyncio.gather(*(events(provider, asks(content)) for _ in range(200)))
            return running().timers

        assert virtually(main()) <= 60


class TestFailing:
    @pytest.mark.parametrize("at", [0, 2, 5])
    async def test_an_error_comes_before_token_at(self, at: int) -> None:
        """It may be retried, and says what was consumed."""
        before, failed = await failure(script(tokens=5, fail="error", at=at))
        assert before == [" token"] * at
        assert (failed.code, failed.retryable) == (ErrorCode.PROVIDER_ERROR, True)
        assert failed.spent == spent(1, at)

    @pytest.mark.parametrize("at", [0, 2, 5])
    async def test_a_cut_stream_just_ends(self, at: int) -> None:
        """Without the event that is always the last."""
        assert await told(script(tokens=5, fail="cut", at=at)) == [" token"] * at

    @pytest.mark.parametrize("at", [0, 2, 5])
    async def test_a_stalled_stream_says_nothing_more(self, at: int) -> None:
        """In virtual time this is seen without waiting: nothing is going to happen."""
        content = script(tokens=5, fail="stall", at=at)
        stream = SCRIPTED.stream(asks(content))
        assert await some(stream, at) == [" token"] * at
        waiting = asyncio.ensure_future(anext(stream))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()

    async def test_it_fails_where_the_bound_ends_it_too(self) -> None:
        """The script's failure comes first, if it comes before another token."""
        before, _ = await failure(script(tokens=5, fail="error", at=2), max_tokens=2)
        assert len(before) == 2


class TestBound:
    @pytest.mark.parametrize(("most", "reason"), [(1, LENGTH), (4, LENGTH), (5, STOP), (9, STOP)])
    async def test_max_tokens_is_kept(self, most: int, reason: FinishReason) -> None:
        """And told where it took something away."""
        *tokens, last = await told(script(tokens=5), max_tokens=most)
        assert len(tokens) == min(most, 5)
        assert last == Finished(reason=reason, spent=spent(1, len(tokens)))

    async def test_no_tool_is_called_behind_it(self) -> None:
        """The step has ended."""
        content = script(tokens=5, at=3, tool={"name": "clock"})
        *tokens, last = await told(content, max_tokens=2)
        assert tokens == [" token"] * 2
        assert last == Finished(reason=LENGTH, spent=spent(1, 2))


class TestTools:
    async def test_the_call_ends_the_first_step(self) -> None:
        """With thoughts and text before it, as models have them; without `result` it is others'."""
        tool = {"name": "clock", "arguments": {"zone": ["UTC", 1]}, "approval": True}
        content = script(tokens=3, at=2, tool=tool, thought="hm")
        thought, *tokens, call, last = await told(content)
        assert (thought, tokens) == (Thinking("hm"), [" token"] * 2)
        assert isinstance(call, CallsTool)
        assert (call.name, call.approval, call.scripted_result) == ("clock", True, None)
        assert msgspec.json.decode(call.arguments) == {"zone": ["UTC", 1]}
        assert isinstance(last, Finished)
        assert (last.reason, last.spent.completion_tokens) == (None, 2)

    async def test_the_second_step_gives_the_rest(self) -> None:
        """However the call came out; it thinks no more."""
        content = script(tokens=3, at=2, tool={"name": "clock"}, thought="hm")
        *tokens, last = await told(content, step=1, said=" token token")
        assert tokens == [" token"]
        assert isinstance(last, Finished)
        assert (last.reason, last.spent.completion_tokens) == (STOP, 1)

    async def test_a_result_makes_the_tool_the_scripts_own(self) -> None:
        """Nobody needs to offer it; arguments may be left out."""
        content = script(tokens=3, tool={"name": "clock", "result": "noon"})
        call, _ = await told(content)
        assert call == CallsTool(
            name="clock", arguments=msgspec.Raw(b"{}"), approval=False, scripted_result="noon"
        )

    @pytest.mark.parametrize("at", [0, 2])
    async def test_a_script_with_both_fails_after_its_tool(self, at: int) -> None:
        """`at` says where it fails; the call comes before all text."""
        content = script(tokens=3, at=at, fail="error", tool={"name": "clock"})
        call, last = await told(content)
        assert isinstance(call, CallsTool)
        assert isinstance(last, Finished)
        assert last.reason is None
        before, _ = await failure(content, step=1)
        assert before == [" token"] * at


class TestCitations:
    async def test_each_follows_the_token_that_completes_it(self) -> None:
        """In the order of their ends."""
        cited = [{"start": 6, "end": 13, "sources": SOURCES}, {"start": 0, "end": 6, "sources": []}]
        first, one, second, third, two, fourth, last = await told(script(tokens=4, citations=cited))
        assert {first, second, third, fourth} == {" token"}
        assert one == Cites(start=0, end=6, sources=msgspec.Raw(b"[]"))
        assert isinstance(two, Cites)
        assert (two.start, two.end) == (6, 13)
        assert msgspec.json.decode(two.sources) == SOURCES
        assert isinstance(last, Finished)

    async def test_those_behind_a_tool_count_from_their_steps_start(self) -> None:
        """A script's count from the answer's."""
        cited = [{"start": 0, "end": 6, "sources": []}, {"start": 13, "end": 18, "sources": []}]
        content = script(tokens=4, at=2, tool={"name": "clock"}, citations=cited)
        spans = [
            [
                (event.start, event.end)
                for event in await told(content, step=step)
                if type(event) is Cites
            ]
            for step in (0, 1)
        ]
        assert spans == [[(0, 6)], [(1, 6)]]

    async def test_one_whose_text_never_came_is_not_given(self) -> None:
        """The bound took it away."""
        cited = [{"start": 0, "end": 7, "sources": []}]
        assert await told(script(tokens=4, citations=cited), max_tokens=1) == [
            " token",
            Finished(reason=LENGTH, spent=spent(1, 1)),
        ]


REFUSED = {
    "plain text": "hello there",
    "nothing": "",
    "no object": "[]",
    "a number": "7",
    "cut off": '{"tokens": 2',
    "two": "{}{}",
    "unknown field": '{"tokenz": 2}',
    "negative": script(tokens=-1),
    "huge": script(tokens=10**9),
    "beyond": script(tokens=MAX_TOKENS + 1),
    "fraction": script(tokens=1.5),
    "not finite": '{"every_ms": NaN}',
    "infinite": '{"every_ms": 1e999}',
    "long pause": script(first_ms=600_001),
    "negative pause": script(every_ms=-0.5),
    "text of none": script(text=""),
    "long text": script(text="x" * 4097),
    "null text": script(text=None),
    "U+0000": script(text="a\0b"),
    "half a pair": r'{"text": "\ud800"}',
    "half a pair, bare": '{"text": "\ud800"}',
    "unknown failure": script(fail="explode"),
    "at behind the end": script(tokens=2, at=3),
    "negative at": script(at=-1),
    "tool without name": script(tool={}),
    "tool's name": script(tool={"name": "a b"}),
    "tool's field": script(tool={"name": "a", "args": {}}),
    "arguments of no kind": script(tool={"name": "a", "arguments": []}),
    "deep arguments": '{"tool": {"name": "a", "arguments": {"a": ' + "[" * 20 + "]" * 20 + "}}}",
    "long arguments": script(tool={"name": "a", "arguments": {"a": "x" * ARGUMENTS_BYTES}}),
    "empty thought": script(thought=""),
    "citation beyond": script(tokens=1, citations=[{"start": 0, "end": 7, "sources": []}]),
    "citation of nothing": script(citations=[{"start": 1, "end": 1, "sources": []}]),
    "citation backwards": script(citations=[{"start": 2, "end": 1, "sources": []}]),
    "citation in a pair": script(text="😀", citations=[{"start": 0, "end": 3, "sources": []}]),
    "citation of no tokens": script(tokens=0, citations=[{"start": 0, "end": 1, "sources": []}]),
    "citation across the call": script(
        at=1, tool={"name": "a"}, citations=[{"start": 0, "end": 7, "sources": []}]
    ),
    "source's field": script(
        citations=[{"start": 0, "end": 1, "sources": [{**SOURCES[0], "page": 1}]}]
    ),
    "source's document": script(
        citations=[{"start": 0, "end": 1, "sources": [{"document": "a b", "title": ""}]}]
    ),
    "deep": "[" * 20_000,
    "deep in a field": '{"tokens": ' + "[" * 20_000,
    "deep in arguments": '{"tool": {"name": "a", "arguments": ' + '{"a":' * 5_000,
    "extreme numbers": '{"tool": {"name": "a", "arguments": {"a": [' + "1e300," * 5_000 + "1]}}}",
    "extreme scores": '{"citations": [{"start": 0, "end": 1, "sources": [{"document": "d", '
    + '"score": 1.5e-320, ' * 1_700
    + '"title": 1}]}]}',
    "a megabyte": script(text="x" * 1_000_000),
    "a megabyte of brackets": "[" * 1_000_000,
    "just too long": " " * (CONTENT_BYTES + 1),
}


class TestRefusing:
    @pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
    async def test_what_is_no_script_fails_with_an_example(self, content: str) -> None:
        """At once, for good, and in words that fit a frame."""
        before, failed = await failure(content)
        assert before == []
        assert (failed.code, failed.retryable) == (ErrorCode.PROVIDER_ERROR, False)
        assert failed.spent == Spent()
        assert EXAMPLE in failed.message
        assert len(failed.message) <= 500
        assert well_formed(failed.message)

    @pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
    def test_refusing_holds_nobody_up(self, content: str) -> None:
        """The thread's own time, so other programs are not in it."""
        took = []
        for _ in range(3):
            started = time.thread_time()
            with pytest.raises(ModelFailed):
                read_script(content)
            took.append(time.thread_time() - started)
        assert min(took) < 0.05

    async def test_the_fault_is_named(self) -> None:
        """So that one sees which field it is."""
        for content, fault in (
            ('{"tokenz": 2}', "unknown field `tokenz`"),
            ('{"tokens": -1}', "$.tokens"),
            ("hello", "it is not one JSON object"),
            ('{"tokens": 1, "at": 2}', "`at` is beyond the last of the `tokens`"),
        ):
            _, failed = await failure(content)
            assert fault in failed.message

    async def test_a_request_without_turns_is_refused_too(self) -> None:
        """There is no script."""
        with pytest.raises(ModelFailed):
            await events(SCRIPTED, asks())

    def test_the_example_is_a_script(self) -> None:
        """Whoever copies it gets an answer."""
        assert read_script(EXAMPLE).every_ms == 20


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(0, 9)
    | st.floats()
    | st.sampled_from(["error", "cut", "clock", " token", "😀", "\0", "\ud800", "{", ""])
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "start", "end", "sources", "result"]), inner)
    ),
    max_leaves=8,
)
FIELDS = ["tokens", "text", "fail", "at", "tool", "citations", "thought", "other"]


class TestHostile:
    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(st.sampled_from(FIELDS), VALUES), st.integers(0, 2))
    def test_any_object_is_a_script_or_refused(self, fields: dict[str, Any], step: int) -> None:
        """Nothing but `ModelFailed` comes out, and no text that may not travel."""
        try:
            content = msgspec.json.encode(fields).decode()
        except (UnicodeEncodeError, msgspec.EncodeError, OverflowError):
            content = repr(fields)
        check_stream(content, step)

    @settings(max_examples=100, deadline=None)
    @given(st.text())
    def test_any_text_is_a_script_or_refused(self, content: str) -> None:
        """The same for what is no JSON."""
        check_stream(content, 0)

    @settings(max_examples=50, deadline=None)
    @given(
        tokens=st.integers(0, 50),
        share=st.floats(0, 1),
        text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        tool=st.booleans(),
        cuts=st.lists(st.floats(0, 1), max_size=6),
    )
    def test_spans_cover_what_the_script_says(
        self, tokens: int, share: float, text: str, tool: bool, cuts: list[float]
    ) -> None:
        """Over all steps, a citation's text is the whole answer's at its span."""
        whole = text * tokens
        at = math.floor(share * tokens)
        spans: list[dict[str, Any]] = []
        for cut in cuts if whole else ():
            place = math.floor(cut * (len(whole) - 1))
            start, end = (len(whole[:n].encode("utf-16-le")) // 2 for n in (place, place + 1))
            spans.append({"start": start, "end": end, "sources": []})
        fields: dict[str, Any] = {"tokens": tokens, "text": text, "citations": spans}
        if tool:
            fields |= {"at": at, "tool": {"name": "clock"}}
        cited = []
        parts = []
        for step in range(1 + tool):
            given = asyncio.run(events(Scripted(), asks(script(**fields), step=step)))
            parts.append(text_of(given))
            cited += [
                utf16_slice(parts[-1], event.start, event.end)
                for event in given
                if isinstance(event, Cites)
            ]
        assert "".join(parts) == whole
        wanted = [utf16_slice(whole, s["start"], s["end"]) for s in spans]
        assert sorted(map(str, cited)) == sorted(map(str, wanted))


def check_stream(content: str, step: int) -> None:
    """Read it in virtual time: a stall is seen at once, and pauses pass."""
    try:
        given = virtually(events(Scripted(), asks(content, step=step, max_tokens=100)))
    except ModelFailed:
        return
    assert all(event and well_formed(event) for event in given if isinstance(event, str))
    assert sum(isinstance(event, Finished) for event in given) <= 1
