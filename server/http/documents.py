"""The documents generated from the frames, as files that a client may keep."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def document(name: str) -> Endpoint:
    """Serves a file of `protocol/schema`, read now and once."""
    content = (files("protocol") / "schema" / name).read_bytes()
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    # To be asked for each time, and answered by 304 until the server changes.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def serve(request: Request) -> Response:
        if knows(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="application/json")

    return serve


def knows(tags: str, tag: str) -> bool:
    """Whether an If-None-Match names this tag, however it is spelt."""
    known = {each.strip().removeprefix("W/") for each in tags.split(",")}
    return tag in known or "*" in known
