"""JSON in and out: a request's body read within its bounds, an answer encoded."""

import asyncio
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import IntType, type_info
from starlette.requests import Request
from starlette.responses import Response

from protocol.codec import is_laborious, refused, unfit
from protocol.codes import ErrorCode
from server.errors import ChatError
from server.telemetry.scrub import words

T = TypeVar("T")
Query = TypeVar("Query", bound=Struct)

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,99}")
# No two `\s*` side by side: a long row of blanks could be shared out among them in too many ways.
_JSON = re.compile(r'application/json\s*(;\s*(charset="?utf-8"?\s*)?)?', re.IGNORECASE | re.ASCII)


class JsonResponse(Response):
    """An answer in JSON, of anything that msgspec encodes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode it."""
        return msgspec.json.encode(content)


async def read_json(request: Request, type: type[T], *, most_bytes: int, within_s: float) -> T:
    """The body as a `type`; else the `ChatError` that says what is wrong with it."""
    _check_media(request)
    raw = await _read(request, most_bytes, within_s)
    return decoded(raw, type)


def single(request: Request, name: str) -> str | None:
    """A header that may be there once: of two, a proxy and we could believe different ones."""
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise ChatError(ErrorCode.INVALID_FRAME, f"The header `{name}` may be there only once.")
    return values[0] if values else None


def decoded(raw: bytes, type: type[T]) -> T:
    """A JSON object as a `type`."""
    if is_laborious(raw):
        raise ChatError(ErrorCode.INVALID_FIELD, "The body has too many numbers of extreme size.")
    try:
        # msgspec takes the last of two equal names, another reader the first.
        if isinstance(json.loads(raw, object_pairs_hook=_each_once), dict):
            return _fit(msgspec.json.decode(raw, type=type))
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # what it is not is said below, and nothing of what it is
    problem = "The body is not one readable JSON object whose names are each there once."
    raise ChatError(ErrorCode.BAD_JSON, problem)


def read_query(request: Request, type: type[Query]) -> Query:
    """The query's parameters as a `type`, each of which may be there once."""
    given, numbers = dict[str, str | int](), _numbers(type)
    for name, value in request.query_params.multi_items():
        if name in given:
            problem = "A parameter of the query may be there only once."
            raise ChatError(ErrorCode.INVALID_FRAME, problem)
        # Not by msgspec's leave, which takes `null` for nothing and 5.0 for 5.
        given[name] = int(value) if name in numbers and _WHOLE.fullmatch(value) else value
    try:
        return _fit(msgspec.convert(given, type=type))
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


@cache  # to take a type apart takes a millisecond, in which the loop would do nothing else
def _numbers(type: type[Struct]) -> frozenset[str]:
    """The fields of a query that are numbers."""
    fields = msgspec.structs.fields(type)
    return frozenset(f.encode_name for f in fields if isinstance(type_info(f.type), IntType))


def _fit(value: T) -> T:
    where = unfit(value) if isinstance(value, Struct) else None
    if where is not None:
        raise ChatError(ErrorCode.INVALID_FIELD, f"A text holds U+0000 - in `{where}`")
    return value


def _invalid(error: msgspec.ValidationError) -> ChatError:
    refusal = refused(error)
    # It quotes what it refuses, a secret in the wrong place too.
    return ChatError(refusal.code, words(refusal.message))


def _check_media(request: Request) -> None:
    """A form or a text may be posted by any page, JSON only by one that its browser asked us of."""
    if single(request, "content-encoding") is not None:
        problem = "The body must not be compressed; send it without `Content-Encoding`."
        raise ChatError(ErrorCode.UNSUPPORTED_MEDIA, problem)
    if not _JSON.fullmatch(single(request, "content-type") or ""):
        problem = "The body must be JSON in UTF-8; send `Content-Type: application/json` with it."
        raise ChatError(ErrorCode.UNSUPPORTED_MEDIA, problem)


async def _read(request: Request, most_bytes: int, within_s: float) -> bytes:
    told = single(request, "content-length")
    if told is not None and told.isdecimal() and _number(told) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise _too_large(most_bytes)
    except TimeoutError:
        problem = f"The body did not arrive within {within_s:g} seconds."
        raise ChatError(ErrorCode.REQUEST_TIMEOUT, problem) from None
    return bytes(body)


def _number(digits: str) -> int:
    return int(digits.lstrip("0")[:20] or "0")


def _too_large(most_bytes: int) -> ChatError:
    return ChatError(
        ErrorCode.PAYLOAD_TOO_LARGE, f"The body may have {most_bytes} bytes here, and has more."
    )


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    names = dict[str, Any]()
    for name, value in pairs:
        if name in names:
            raise ValueError
        names[name] = value
    return names
