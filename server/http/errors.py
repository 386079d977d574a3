"""From whatever a request failed with to the one answer that says so."""

from collections.abc import Mapping

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from protocol.codes import CloseCode, ErrorCode
from server.auth.tokens import TokenRefused
from server.errors import ChatError, from_storage, internal
from server.http.bodies import JsonResponse
from storage.errors import StorageError

RETRY_MS = 1000  # where a code says "later" and nobody knows when


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as a body has it."""

    code: ErrorCode
    message: str
    retryable: bool
    trace: str
    retry_after_ms: int | None = None


def translated(error: Exception) -> ChatError:
    """What a client is told of it: never the words of what is not ours."""
    match error:
        case ChatError():
            return error
        case StorageError():
            return from_storage(error)
        case TokenRefused():
            return _refused(error)
        case HTTPException(status_code=404):
            return ChatError(ErrorCode.NOT_FOUND, "There is nothing at this path.")
        case HTTPException(status_code=405):
            words = "This path has no such method; the header Allow names those it has."
            return ChatError(ErrorCode.METHOD_NOT_ALLOWED, words)
    return internal()


def answer(error: ChatError, trace: str, headers: Mapping[str, str] | None = None) -> Response:
    """The error as an HTTP answer."""
    later_ms = error.retry_after_ms
    if later_ms is None and error.code.status == 503:
        later_ms = RETRY_MS
    problem = Problem(
        code=error.code,
        message=error.message,
        retryable=error.code.retryable,
        trace=trace,
        retry_after_ms=later_ms,
    )
    response = JsonResponse({"error": problem}, error.code.status, headers)
    if later_ms is not None:
        response.headers["Retry-After"] = seconds(later_ms)
    if error.code is ErrorCode.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def headers_of(error: Exception) -> Mapping[str, str]:
    """What a failure itself puts into headers: the methods that there are, a limit's state."""
    if isinstance(error, HTTPException | RateLimited):
        return error.headers or {}
    return {}


class RateLimited(ChatError):
    """Refused by a rate, with the rate's state for the headers."""

    def __init__(self, words: str, wait_ms: int, per_minute: int) -> None:
        super().__init__(ErrorCode.RATE_LIMITED, words, retry_after_ms=wait_ms)
        self.headers = {
            "X-RateLimit-Limit": str(per_minute),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": seconds(wait_ms),
        }


def seconds(milliseconds: int) -> str:
    """As headers count time: whole seconds, so that who waits them has waited enough."""
    return str(-(-milliseconds // 1000))


def _refused(error: TokenRefused) -> ChatError:
    if error.close is CloseCode.FORBIDDEN:
        return ChatError(ErrorCode.FORBIDDEN, "These credentials are not let in here.")
    if error.close is CloseCode.TOKEN_EXPIRED:
        words = "The token has expired; get a new one and send the request again."
        return ChatError(ErrorCode.UNAUTHENTICATED, words)
    words = "The credentials are missing or not accepted. Send `Authorization: Bearer <token>`."
    return ChatError(ErrorCode.UNAUTHENTICATED, words)
