"""How answers end, and the one way in which an end is brought about."""

from protocol.codes import ErrorCode
from protocol.types import FinishReason, Outcome
from server.generation.means import Means
from server.telemetry.lines import AnswerEnded
from storage import failpoints
from storage.records import Answer, Commit, CommitKind, Ended, Ending, Failure

MOST_WORDS = 1024  # of an error, as the frame bounds it

STOPPED = Ending(outcome=Outcome.STOPPED, finish_reason=FinishReason.STOPPED)
SHUTDOWN = Ending(outcome=Outcome.INTERRUPTED, finish_reason=FinishReason.SHUTDOWN)
CRASH = Ending(outcome=Outcome.INTERRUPTED, finish_reason=FinishReason.CRASH)


def failed(
    code: ErrorCode,
    message: str,
    reason: FinishReason = FinishReason.ERROR,
    *,
    retryable: bool | None = None,
) -> Ending:
    """As a failure, in words a person may read."""
    retryable = code.retryable if retryable is None else retryable
    error = Failure(code=code.value, message=message[:MOST_WORDS], retryable=retryable)
    return Ending(outcome=Outcome.FAILED, finish_reason=reason, error=error)


INTERNAL = failed(
    ErrorCode.INTERNAL,
    "The server failed at this answer; its log has what it was, by the answer's id.",
)


async def end(means: Means, answer: Answer, how: Ending) -> Ended:
    """End an answer one owns, and tell its log.

    `how` is what its owner came to. Where a stop was asked for it ended as that.
    """
    answers = means.store.internal.answers
    failpoints.reach("ending")
    ended = await means.patience(lambda: answers.end(answer.held, how))
    failpoints.reach("ended")
    commit = Commit(number=ended.number, kind=CommitKind.COMPLETE, row=ended)
    await means.hub.tell(answer.tenant, answer.conversation, [commit])
    return ended


def line(ended: Ended, *, pieces: int = 0, trace: str | None = None) -> AnswerEnded:
    """The same for the log of this server."""
    return AnswerEnded(
        answer=ended.answer,
        conversation=ended.conversation,
        tenant=ended.tenant,
        model=ended.model,
        provider=ended.provider,
        outcome=ended.outcome,
        finish_reason=ended.finish_reason,
        code=None if ended.error is None else ErrorCode[ended.error.code.upper()],
        attempt=ended.attempt,
        length=ended.length,
        prompt_tokens=ended.spent.prompt_tokens,
        completion_tokens=ended.spent.completion_tokens,
        cost_usd=ended.spent.usage().cost_usd,
        queue_ms=ended.timings.queue,
        first_token_ms=ended.timings.first_token,
        total_ms=ended.timings.total,
        chunks=pieces,
        trace=trace,
    )
