"""How an end is told."""

from protocol.codes import ErrorCode
from protocol.types import FINISH_REASONS, FinishReason
from server.generation import endings
from server.generation.endings import failed
from tests.server.generation.scene import Scene, done


def test_a_failure_says_what_may_be_done_about_it() -> None:
    """By its code, unless whoever failed knows better; and a frame can carry its words."""
    end = failed(ErrorCode.PROVIDER_BUSY, "x" * 5000)
    assert end.error is not None
    assert (len(end.error.message), end.error.retryable) == (1024, True)
    told = failed(ErrorCode.PROVIDER_BUSY, "no", FinishReason.LIMIT, retryable=False)
    assert told.error is not None
    assert (told.finish_reason, told.error.retryable) == (FinishReason.LIMIT, False)


def test_reasons_fit_their_outcomes() -> None:
    """As the wire has them."""
    for end in (endings.STOPPED, endings.SHUTDOWN, endings.CRASH, endings.INTERNAL):
        assert end.finish_reason in FINISH_REASONS[end.outcome]


async def test_an_end_asked_for_twice_is_told_once(scene: Scene) -> None:
    """The first one stands, whatever the second says."""
    scene.plays(["text", done()])
    sent = await scene.send()
    answer = await scene.answer(sent)
    await scene.idle()
    again = await endings.end(scene.supervisor._means, answer, endings.CRASH)
    assert (again.fresh, again.outcome) == (False, "complete")
    assert (await scene.complete(sent)).outcome == "complete"
