"""What an answer was asked with, as its row keeps it and its run finds it."""

from typing import Any

import msgspec
from msgspec import Raw

from protocol.types import Guarded
from server.providers.base import ToolOffer
from storage.values import Json


class Request(Guarded, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, beyond the text; None is whatever is the custom here.

    `tools` are those that the client runs itself. `metadata` is for the record, and never trusted
    in a prompt. `trace` is that of the request or connection that asked.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    system_prompt: str | None = None
    tools: tuple[ToolOffer, ...] = ()
    metadata: dict[str, Any] | None = None
    trace: str | None = None


# Not strict: a row may have been written by a version that knows more.
_DECODER = msgspec.json.Decoder(Request)


def encode(request: Request) -> Json:
    """As the row keeps it."""
    return Raw(msgspec.json.encode(request))


def decode(stored: Json) -> Request:
    """As it was asked."""
    return _DECODER.decode(stored)
