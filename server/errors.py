"""What a client may be told when something cannot be done; the edges translate, nobody else."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from protocol.codec import Refusal
from protocol.codes import ErrorCode
from storage import errors

RETRY_MS = 1000  # where a code says "later" and nobody knows when


class ChatError(Exception):
    """A request is refused: with a code, words for a developer, and when to come back.

    `status` and `headers` are HTTP's alone: a status that says more than the code's own, and what
    belongs to it.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after_ms: int | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.status = code.status if status is None else status
        self.headers = headers or {}

    def __str__(self) -> str:
        return f"{self.code.value}: {self.message}"

    def refusal(self, ref: str | None) -> Refusal:
        """The same as the socket says it, of the frame that `ref` names."""
        return Refusal(self.code, self.message, ref, self.retry_after_ms)


class RateLimited(ChatError):
    """Refused by a limit, with the limit's state for the headers; `most` are let through."""

    def __init__(self, words: str, wait_ms: int, most: int) -> None:
        super().__init__(
            ErrorCode.RATE_LIMITED,
            words,
            retry_after_ms=wait_ms,
            headers={
                "X-RateLimit-Limit": str(most),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": _seconds(wait_ms),
            },
        )


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as the body of an HTTP answer has it."""

    code: ErrorCode
    message: str
    retryable: bool
    trace: str
    retry_after_ms: int | None = None


class Answer(Struct, frozen=True):
    """An error as HTTP says it."""

    status: int
    headers: dict[str, str]
    body: bytes


def over_http(error: ChatError, trace: str) -> Answer:
    """The one shape of it, whoever answers: a route, the socket's endpoint, the transport."""
    later_ms = error.retry_after_ms
    if later_ms is None and error.status == 503:
        later_ms = RETRY_MS
    problem = Problem(
        code=error.code,
        message=error.message,
        retryable=error.code.retryable,
        trace=trace,
        retry_after_ms=later_ms,
    )
    headers = {"Content-Type": "application/json", "X-Request-ID": trace, **error.headers}
    if later_ms is not None:
        headers["Retry-After"] = _seconds(later_ms)
    if error.code is ErrorCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(error.status, headers, msgspec.json.encode({"error": problem}))


def from_storage(error: errors.StorageError) -> ChatError:
    """What a client is told of a failure of the store: never the store's own words."""
    match error:
        case errors.NotFound():
            return ChatError(ErrorCode.NOT_FOUND, f"There is no such {error.what}, or not for you.")
        case errors.Conflict():
            return _of_conflict(error)
        case errors.Busy():
            words = (
                "The conversation is answering. Wait, stop an answer, or send on_busy=interrupt."
            )
            return ChatError(ErrorCode.BUSY, words)
        case errors.TooMuch():
            words = (
                "There is more to look through than can be in the time there is, and nothing was "
                "found in the newest of it. Narrow the search, by `status` perhaps."
            )
            return ChatError(ErrorCode.INVALID_FIELD, words)
        case errors.Overloaded():
            words = "The server has no capacity for this now; send it again with the same id."
            return ChatError(ErrorCode.OVERLOADED, words, retry_after_ms=error.retry_after_ms)
        case errors.Unavailable():
            words = "A part that this needs is away; send it again with the same id."
            return ChatError(ErrorCode.UNAVAILABLE, words)
    return internal()


def _of_conflict(error: errors.Conflict) -> ChatError:
    match error:
        case errors.IdConflict():
            words = "This id was used for another request; a new request needs a new id."
            return ChatError(ErrorCode.ID_CONFLICT, words)
        case errors.ApprovalExpired():
            words = "The time to decide has passed; the tool will not run."
            return ChatError(ErrorCode.APPROVAL_EXPIRED, words)
        case errors.DecidedOtherwise():
            words = "The call was decided otherwise, or has other arguments; read its state anew."
            return ChatError(ErrorCode.APPROVAL_CONFLICT, words)
        case errors.NotEditable():
            words = "Only a user's message is edited; for another answer send `regenerate`."
            return ChatError(ErrorCode.INVALID_FIELD, words)
        case errors.TooMany():
            words = f"That place has {error.most} {error.what} already, the most it may have."
            return ChatError(ErrorCode.QUOTA_EXCEEDED, words)
    return internal()


def internal() -> ChatError:
    """A fault of this server; the log has what it was."""
    words = "The server failed at this. The error's trace names the case in its logs."
    return ChatError(ErrorCode.INTERNAL, words)


def _seconds(milliseconds: int) -> str:
    """As headers count time: whole seconds, so that who waits them has waited enough."""
    return str(-(-milliseconds // 1000))
