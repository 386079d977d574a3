"""From whatever a request failed with to the one answer that says so."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response

from protocol.codes import CloseCode, ErrorCode
from server.auth.tokens import TokenRefused
from server.errors import ChatError, from_storage, internal, over_http
from storage.errors import StorageError


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
    said = over_http(error, trace)
    return Response(said.body, said.status, {**(headers or {}), **said.headers})


def headers_of(error: Exception) -> Mapping[str, str]:
    """What a failure that is not ours puts into headers: the methods that there are."""
    return error.headers or {} if isinstance(error, HTTPException) else {}


def _refused(error: TokenRefused) -> ChatError:
    if error.close is CloseCode.FORBIDDEN:
        return ChatError(ErrorCode.FORBIDDEN, "These credentials are not let in here.")
    if error.close is CloseCode.TOKEN_EXPIRED:
        words = "The token has expired; get a new one and send the request again."
        return ChatError(ErrorCode.UNAUTHENTICATED, words)
    words = "The credentials are missing or not accepted. Send `Authorization: Bearer <token>`."
    return ChatError(ErrorCode.UNAUTHENTICATED, words)
