"""Tries, fallbacks, and what all of it cost."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import aclosing
from typing import Any

import pytest

from protocol.codes import ErrorCode
from server.generation.request import Request
from server.providers.base import Model, ModelEvent, ModelFailed, ModelRequest, Thinking
from server.providers.scripted import Scripted
from storage.values import Spent
from storage.work import SumBy
from tests.server.generation.conftest import Makes
from tests.server.generation.scene import Scene, done
from tests.support.models import script

FALLBACK = {"fallbacks": ("understudy",)}


def busy(tokens: int = 0, *, retryable: bool = True) -> ModelFailed:
    """A failure that costs its prompt."""
    words = "The vendor is busy."
    spent = Spent(1, tokens, 0)
    return ModelFailed(ErrorCode.PROVIDER_BUSY, words, retryable=retryable, spent=spent)


async def test_a_failure_before_the_first_word_is_tried_again(scene: Scene) -> None:
    """With growing pauses; devices see nothing of it, and every try is paid for."""
    scene.plays([busy()], [busy()], ["text", done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"
    assert scene.time.slept == [0.5, 1.0]
    assert await scene.states(sent) == ["thinking", "generating"]
    assert await scene.spent() == Spent(3, 4, 0)


async def test_it_is_not_tried_for_ever(scene: Scene) -> None:
    """Two further times; then it has failed as it failed last."""
    scene.plays([busy()], [busy()], [busy()], ["never"])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.finish_reason) == ("failed", "error")
    assert complete.error is not None
    assert (complete.error.code, complete.error.retryable) == (ErrorCode.PROVIDER_BUSY, True)
    assert len(scene.puppet.requests) == 3
    assert await scene.spent() == Spent(3, 0, 0)


async def test_a_stream_that_is_cut_before_its_first_word_is_tried_again(scene: Scene) -> None:
    """A vendor that hangs up has failed like any other."""
    scene.plays([], ["text", done(tokens=4)])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "complete"
    assert await scene.spent() == Spent(2, 4, 0)


async def test_what_would_fail_again_is_not_tried_again(scene: Scene) -> None:
    """The model said so."""
    scene.plays([busy(retryable=False)], ["never"])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "failed"
    assert len(scene.puppet.requests) == 1


@pytest.mark.parametrize("first", ["text", Thinking("hm")])
async def test_what_was_shown_is_not_taken_back(scene: Scene, first: str | Thinking) -> None:
    """Not even a thought."""
    scene.plays([first, busy()], ["never"])
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "failed"
    assert len(scene.puppet.requests) == 1


async def test_another_model_stands_in(make: Makes) -> None:
    """It is named, and so is that it was not the one asked for."""
    scene = await make(own=FALLBACK)
    scene.plays([busy()], [busy()], [busy()])
    scene.understudy.scripts.append(["text", done(tokens=4)])
    sent = await scene.send(asked=Request(model="puppet"))
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.model) == ("complete", "understudy")
    assert (complete.provider, complete.degraded) == ("understudy", ["fallback_model"])
    sums = await scene.store.internal.usage.sums(
        scene.world.tenant, [SumBy.MODEL], since=0, until=2**60
    )
    assert {one.model: one.spent for one in sums} == {
        "puppet": Spent(3, 0, 0),
        "understudy": Spent(1, 4, 0),
    }


async def test_another_model_fails_too(make: Makes) -> None:
    """After as many tries."""
    scene = await make(own=FALLBACK, retries=1)
    scene.plays([busy()], [busy()])
    scene.understudy.scripts += [[busy()], [busy()]]
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert (complete.outcome, complete.degraded) == ("failed", ["fallback_model"])
    assert await scene.spent() == Spent(4, 0, 0)


async def test_a_request_that_is_at_fault_is_so_for_every_model(make: Makes) -> None:
    """Nobody else is asked."""
    scene = await make(own=FALLBACK)
    scene.plays([ModelFailed(ErrorCode.CONTENT_BLOCKED, "No.", retryable=False)])
    sent = await scene.send()
    await scene.idle()
    complete = await scene.complete(sent)
    assert complete.error is not None
    assert complete.error.code is ErrorCode.CONTENT_BLOCKED
    assert scene.understudy.requests == []


async def test_a_stop_during_a_pause_between_tries(make: Makes) -> None:
    """It is not waited for."""
    scene = await make()
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    scene.time.sleep = sleep  # type: ignore[method-assign]
    scene.supervisor = await scene.another()
    scene.plays([busy()])
    sent = await scene.send()
    await waiting.wait()
    await scene.stop(sent.answer)
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"
    assert await scene.spent() == Spent(1, 0, 0)


async def test_a_vendor_in_trouble_uses_up_the_budget(make: Makes) -> None:
    """Then each answer fails at its first failure."""
    scene = await make(retry_share=0.0, retry_reserve=1)
    scene.plays([busy()], [busy()], [busy()])
    for _ in range(2):
        await scene.send()
        await scene.idle()
    assert [line.outcome for line in scene.lines] == ["failed", "failed"]
    assert len(scene.puppet.requests) == 3


async def test_what_a_vendor_says_to_a_stop_changes_nothing(scene: Scene) -> None:
    """It may call it a failure."""

    async def stream(request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield "text"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ModelFailed(ErrorCode.PROVIDER_ERROR, "I was not done.") from None

    scene.puppet.stream = stream  # type: ignore[method-assign]
    sent = await scene.send()
    await scene.shown(sent.conversation, "text")
    await scene.stop(sent.answer)
    await scene.idle()
    assert (await scene.complete(sent)).outcome == "stopped"


async def test_a_vendor_that_does_not_let_go_is_left(
    make: Makes, logged: list[MutableMapping[str, Any]]
) -> None:
    """The answer does not wait for its farewell."""
    scene = await make(close_s=0.01, output_bytes=2)

    async def stream(request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            yield "text"
        finally:
            await asyncio.Event().wait()

    scene.puppet.stream = stream  # type: ignore[method-assign]
    sent = await scene.send()
    await scene.idle()
    assert (await scene.complete(sent)).finish_reason == "limit"
    assert "a model was not closed" in [line["event"] for line in logged]


class Counting(Scripted):
    """The scripted model, which counts what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As it is."""
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                self.given += isinstance(event, str)
                yield event


@pytest.mark.parametrize(
    ("fields", "stops"),
    [
        ({"tokens": 500}, False),
        ({"tokens": 500, "fail": "error", "at": 300}, False),
        ({"tokens": 500, "fail": "cut", "at": 300}, False),
        ({"tokens": 500, "fail": "cut"}, False),
        ({"tokens": 500, "fail": "error"}, False),
        ({"tokens": 500, "fail": "stall", "at": 300}, True),
        ({"tokens": 100_000, "text": "é👋"}, True),
        ({"tokens": 100_000, "text": "é👋"}, False),
        ({"tokens": 50, "at": 20, "tool": {"name": "t", "result": "r"}}, False),
        ({"tokens": 50, "at": 20, "tool": {"name": "t", "result": "r", "approval": True}}, False),
    ],
)
async def test_the_bill_is_what_the_scripted_model_counts(
    make: Makes, fields: dict[str, Any], *, stops: bool
) -> None:
    """However it ends, and also where it was cut in its midst."""
    scene = await make(output_bytes=20_000)
    model = Counting()
    scene.supervisor._means.catalogue.default = Model("scripted", model, calls_tools=True)
    sent = await scene.send(script(**fields))
    await scene.until(lambda: model.given > 100 or not stops)
    if stops:
        await scene.stop(sent.answer)
    await scene.idle()
    for call in await scene.store.internal.tools.of_answer(scene.world.tenant, sent.answer):
        if call.state == "awaiting_approval":
            await scene.store.tools.decide(
                scene.world.owner, scene.world.once(), call.id, args_hash=call.args_hash, allow=True
            )
            scene.supervisor.look(scene.world.tenant, sent.conversation)
    await scene.idle()
    complete = await scene.complete(sent)
    assert (
        (await scene.spent()).completion_tokens == complete.usage.completion_tokens == model.given
    )
