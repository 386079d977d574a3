"""One answer's life: how it ends, whatever it is told meanwhile, and what it leaves behind."""

import asyncio

import pytest
from msgspec import Raw, structs

from protocol.codes import ErrorCode
from protocol.types import FinishReason, OnBusy
from server.providers.base import CallsTool, ModelFailed
from storage.records import Ended, Stopping
from storage.values import Spent
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import RAW, Act, Scene, done

LOOKS_UP = CallsTool(name="look_up", arguments=RAW, scripted_result="found")


async def test_an_answer_is_told_and_stored(scene: Scene) -> None:
    """Its states, its text, its one end; and the same text is the message."""
    scene.plays(["Hel", "lo", "👋", done(tokens=6)])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason, complete.length) == ("complete", "stop", 7)
    assert (complete.model, complete.provider) == ("puppet", "puppet")
    assert await scene.states(sent) == ["thinking", "generating"]
    assert scene.supervisor.running == 0


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_the_model_says_why_it_ends(scene: Scene, reason: str) -> None:
    """Three ways of being complete."""
    scene.plays(["text", done(FinishReason(reason))])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("complete", reason)


async def test_an_answer_may_be_empty(scene: Scene) -> None:
    """Then it has said nothing, and has ended all the same."""
    scene.plays([done()])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("complete", 0)
    assert complete.timings_ms.first_token is None


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_said_before_a_failure_is_kept(scene: Scene) -> None:
    """No second try takes it back."""
    words = ModelFailed(ErrorCode.PROVIDER_ERROR, "It broke.", spent=Spent(1, 3, 0))
    scene.plays(["one", words])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason, complete.length) == ("failed", "error", 3)
    assert complete.error is not None
    assert (complete.error.code, complete.error.message) == ("provider_error", "It broke.")
    assert len(scene.puppet.requests) == 1
    assert await scene.spent() == Spent(1, 3, 0)


async def test_a_stream_that_ends_without_a_word_has_failed(scene: Scene) -> None:
    """A clean close is no end; what it said is paid for."""
    scene.plays(["half"])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason, complete.length) == ("failed", "error", 4)
    assert complete.error is not None
    assert complete.error.code is ErrorCode.PROVIDER_ERROR
    assert await scene.spent() == Spent(1, 4, 0)


async def test_a_fault_of_ours_ends_the_answer(scene: Scene) -> None:
    """Nothing hangs; a person reads nothing of what it was."""
    scene.plays(["text", RuntimeError("secret")])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason, complete.length) == ("failed", "error", 4)
    assert complete.error is not None
    assert complete.error.code is ErrorCode.INTERNAL
    assert "secret" not in complete.error.message


async def test_a_request_that_cannot_be_read_ends_the_answer(scene: Scene) -> None:
    """Whoever wrote it."""
    sent = await scene.send(request=Raw(b"[]"))
    await scene.idle()
    assert (await scene.complete(sent)).error is not None


async def test_a_model_that_is_not_offered_any_more_is_named(scene: Scene) -> None:
    """The message may have waited while the server was set up anew."""
    sent = await scene.send(model="gone")
    await scene.idle()
    complete = await scene.complete(sent)
    assert complete.outcome == "failed"
    assert complete.error is not None
    assert complete.error.code is ErrorCode.INVALID_FIELD
    assert (complete.model, complete.provider) == ("gone", "gone")


async def test_a_model_that_calls_nothing_has_failed(scene: Scene) -> None:
    """A step that is to end with calls has one."""
    scene.plays(["text", done(None)])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("failed", "error")


async def test_tools_are_called_in_so_many_steps(make: Makes) -> None:
    """A model that never comes to an end is brought to one."""
    scene = await make(tool_steps=2)
    script: list[Act] = ["go ", LOOKS_UP, done(None, 3)]
    scene.plays(script, script, script)
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("failed", "limit")
    assert complete.error is not None
    assert not complete.error.retryable
    assert [request.step for request in scene.puppet.requests] == [0, 1, 2]
    assert await scene.spent() == Spent(3, 9, 0)


# ── deadlines ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "after_s", "words"),
    [
        ([], 31, "said nothing for 30 s"),
        (["text"], 16, "fell silent for 15 s"),
        ([], 301, "longer than 300 s"),
    ],
)
async def test_a_model_that_is_late_is_cut_off(
    scene: Scene, said: list[Act], after_s: float, words: str
) -> None:
    """For its first word, within its answer, and in all."""
    scene.plays([*said, asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "".join(map(str, said)))
    await scene.until(lambda: scene.puppet.open)
    await scene.supervisor.tick()
    scene.time.now += after_s
    await scene.supervisor.beat()
    await scene.supervisor.tick()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("failed", "timeout")
    assert complete.error is not None
    assert complete.error.code is ErrorCode.PROVIDER_TIMEOUT
    assert words in complete.error.message
    assert await scene.spent() == Spent(1, complete.length, 0)


async def test_a_model_that_keeps_talking_is_not_late(scene: Scene) -> None:
    """Each word begins the wait anew."""
    gates = [asyncio.Event() for _ in range(4)]
    scene.plays([act for gate in gates for act in ("x", gate)] + [done(tokens=4)])
    sent = await scene.send()
    for number, gate in enumerate(gates, start=1):
        await scene.shown(sent.conversation, "x" * number)
        await scene.supervisor.tick()
        scene.time.now += 14
        await scene.supervisor.beat()
        await scene.supervisor.tick()
        gate.set()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


# ── stops ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stop_before_the_first_word(scene: Scene) -> None:
    """The model is let go of; only its prompt is paid for."""
    scene.plays([asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await scene.stop(sent.answer)
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason, complete.length) == ("stopped", "stopped", 0)
    assert complete.error is None
    assert await scene.spent() == Spent(1, 0, 0)


async def test_a_stop_between_words_keeps_what_was_told(scene: Scene) -> None:
    """Nothing is said, told or paid for after it."""
    gate = asyncio.Event()
    scene.plays(["one ", "two ", gate, "three", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one two ")
    await scene.stop(sent.answer)
    gate.set()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("stopped", 8)
    assert scene.puppet.said == ["one ", "two "]
    assert await scene.spent() == Spent(1, 8, 0)


async def test_what_was_said_and_not_told_is_dropped_by_a_stop_and_paid_for(scene: Scene) -> None:
    """The text is what devices saw; the bill is what the model said."""
    gate = asyncio.Event()

    def stop_now() -> None:
        scene.supervisor.wake(Stopping(answer=sent.answer, incarnation="somebody"))

    scene.plays([gate, "untold", stop_now, asyncio.Event()])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    await scene.stop(sent.answer, wake=False)
    gate.set()
    await scene.idle()
    complete = await scene.complete(sent)
    assert complete.outcome == "stopped"
    assert complete.length in (0, 6)
    assert await scene.spent() == Spent(1, 6, 0)


async def test_a_stop_that_nobody_brought_is_found_at_the_checkpoint(scene: Scene) -> None:
    """Another instance stored it; its word may have got lost."""
    scene.plays(["text", asyncio.Event()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await scene.stop(sent.answer, wake=False)
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"


async def test_a_stop_before_it_was_begun(scene: Scene) -> None:
    """The model is not even asked."""
    sent = await scene.send(start=False)
    await scene.stop(sent.answer)
    scene.supervisor.start(await scene.answer(sent))
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"
    assert scene.puppet.requests == []


async def test_a_stop_that_meets_the_end_wins_if_it_was_stored_first(scene: Scene) -> None:
    """One end, and the text is whole in either case."""
    answers = scene.store.internal.answers
    end = answers.end

    async def end_late(held: object, how: object) -> Ended:
        await scene.stop(sent.answer)
        return await end(held, how)  # type: ignore[arg-type]

    answers.end = end_late  # type: ignore[method-assign]
    scene.plays(["all of it", done(tokens=9)])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.length) == ("stopped", 9)
    assert await scene.spent() == Spent(1, 9, 0)


async def test_stopping_twice_or_too_late_changes_nothing(scene: Scene) -> None:
    """The first end stands."""
    scene.plays(["text", done()])
    sent = await scene.send()
    await scene.idle()
    before = await scene.frames(sent.conversation)
    for _ in range(2):
        await scene.stop(sent.answer)
    await scene.idle()
    assert await scene.frames(sent.conversation) == before


async def test_an_interrupted_answer_is_superseded(scene: Scene) -> None:
    """Its end comes before the message that interrupts."""
    scene.plays(["old", asyncio.Event()], ["new", done()])
    first = await scene.send()
    await scene.shown(first.conversation, "old")
    second = await scene.send(conversation=first.conversation, on_busy=OnBusy.INTERRUPT)
    assert [one.answer for one in second.stopping] == [first.answer]
    scene.supervisor.wake(*second.stopping)
    await scene.idle()
    assert await scene.ends(first.conversation) == [
        (first.answer, "superseded"),
        (second.answer, "stop"),
    ]


async def test_deleting_the_conversation_stops_its_answer(scene: Scene) -> None:
    """Also one that had not begun to read it."""
    sent = await scene.send(start=False)
    assert sent.run is not None
    await scene.store.conversations.delete(scene.world.owner, sent.conversation)
    scene.supervisor.start(sent.run)
    await scene.idle()
    (line,) = scene.lines
    assert line.outcome == "stopped"


# ── owners ───────────────────────────────────────────────────────────────────────────────────────


async def take_from(scene: Scene, answer: str) -> str:
    """Another process, which takes us for dead, takes that answer."""
    taker = await scene.world.incarnation()
    seen = await scene.world.answer(answer)
    taken = await scene.store.internal.ownership.take_over(seen, taker, proof_of_death=True)
    assert taken is not None
    return taker


async def test_who_lost_an_answer_leaves_off(scene: Scene) -> None:
    """It hears of it with its next checkpoint, and writes nothing more."""
    gate = asyncio.Event()
    scene.plays(["text", gate, "more", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await take_from(scene, sent.answer)
    await scene.supervisor.checkpoint()
    await scene.idle()
    gate.set()
    assert scene.lines == []
    assert (await scene.answer(sent)).state == "running"
    assert scene.text_of(await scene.frames(sent.conversation)) == "text"


async def test_who_lost_an_answer_does_not_end_it(scene: Scene) -> None:
    """Its fence is shut out."""
    gate = asyncio.Event()
    scene.plays(["text", gate, done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    taker = await take_from(scene, sent.answer)
    gate.set()
    await scene.idle()
    answer = await scene.answer(sent)
    assert (answer.state, answer.incarnation) == ("running", taker)
    assert await scene.ends(sent.conversation) == []


async def test_who_cannot_be_sure_of_itself_waits(scene: Scene) -> None:
    """After 9 s without a life sign it writes nothing until it hears that it is still the owner."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", done(tokens=7)])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.time.now += 9
    await scene.supervisor.tick()
    assert scene.supervisor.incarnation is None
    gate.set()
    await scene.until(lambda: scene.puppet.said == ["one ", "two"])
    for _ in range(50):
        await asyncio.sleep(0)
    assert scene.text_of(await scene.frames(sent.conversation)) == "one "
    scene.time.now += 100  # much longer than a model may be silent, and not its silence
    await scene.supervisor.tick()
    await scene.supervisor.beat()
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"


async def test_who_waited_and_lost_it_writes_nothing(scene: Scene) -> None:
    """What the model said meanwhile is dropped."""
    gate = asyncio.Event()
    scene.plays(["one ", gate, "two", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "one ")
    scene.time.now += 9
    await scene.supervisor.tick()
    gate.set()
    await take_from(scene, sent.answer)
    await scene.supervisor.beat()
    await scene.supervisor.checkpoint()
    await scene.idle()
    assert scene.text_of(await scene.frames(sent.conversation)) == "one "


# ── ends that fail ───────────────────────────────────────────────────────────────────────────────


async def test_an_end_that_cannot_be_stored_as_it_is_becomes_an_error(scene: Scene) -> None:
    """Better an end without its text than none."""
    answers = scene.store.internal.answers
    end = answers.end

    async def picky(held: object, how: object) -> Ended:
        if getattr(how, "tail", None) is not None:
            raise ValueError("a fault of ours")
        return await end(held, how)  # type: ignore[arg-type]

    answers.end = picky  # type: ignore[method-assign]
    scene.plays(["text", done()])
    sent = await scene.send()
    await scene.idle()
    (line,) = scene.lines
    assert (line.answer, line.outcome, line.code) == (sent.answer, "failed", "internal")


async def test_an_end_that_fails_altogether_is_tried_again_by_the_sweeper(scene: Scene) -> None:
    """It is not begun anew: its text was shown."""
    answers = scene.store.internal.answers
    end = answers.end

    async def broken(held: object, how: object) -> Ended:
        raise ValueError("a fault of ours")

    answers.end = broken  # type: ignore[method-assign]
    scene.plays(["text", done()])
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await scene.supervisor.checkpoint()
    await scene.idle()
    answers.end = end  # type: ignore[method-assign]
    for _ in range(2):
        await scene.supervisor.sweep()
    await scene.idle()
    assert len(scene.puppet.requests) == 1
    (line,) = scene.lines
    assert (line.answer, line.outcome) == (sent.answer, "interrupted")


async def test_its_line_says_what_it_was(scene: Scene) -> None:
    """Ids, sizes and codes."""
    gate = asyncio.Event()
    scene.plays([gate, "Hel", "lo", done(tokens=5)])
    sent = await scene.send()
    await scene.until(lambda: scene.puppet.open)
    scene.time.now += 2
    gate.set()
    await scene.idle()
    (line,) = scene.lines
    expected = structs.replace(
        line,
        answer=sent.answer,
        conversation=sent.conversation,
        model="puppet",
        provider="puppet",
        length=5,
        prompt_tokens=1,
        completion_tokens=5,
        queue_ms=0,
        first_token_ms=2000,
        total_ms=2000,
        chunks=2,
        code=None,
    )
    assert line == expected
