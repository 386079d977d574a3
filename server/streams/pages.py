"""Stored messages as they are shown page by page: as many as fit a frame, also over HTTP."""

from collections.abc import Sequence

import msgspec
from msgspec import structs

from protocol.frames import objects as o
from protocol.limits import SERVER_FRAME_BYTES
from server.streams import shapes
from storage.records import Message

# Of a frame's bytes, what `attached` or `history` may fill with messages and texts.
ROOM_BYTES = SERVER_FRAME_BYTES - 4096
TOOLS_BYTES = 64 * 1024  # of them, what tool calls of a message, or of all unfinished answers, may


def page(messages: Sequence[Message], room: int = ROOM_BYTES) -> tuple[list[o.Message], bool]:
    """The newest of these that fit a frame, oldest first, and whether some had to be left out."""
    fitting: list[o.Message] = []
    for row in reversed(messages):
        message = shapes.message(row)
        if message.tools:
            message = structs.replace(message, tools=slim(message.tools, TOOLS_BYTES))
        size = _size(message)
        if size > ROOM_BYTES:  # by itself: without its text it would be worth nothing
            message = structs.replace(
                message,
                tools=message.tools and slim(message.tools, 0),
                citations=None,
                sources=None,
            )
            size = _size(message)
        room -= size
        if room < 0:
            return fitting[::-1], True
        fitting.append(message)
    return fitting[::-1], False


def slim(calls: list[o.ToolCall], room: int) -> list[o.ToolCall]:
    """Tool calls that fit: the oldest lose their results first, then their arguments."""
    fitting = list(calls)
    room -= sum(map(_size, fitting))
    for left_out in ("result", "arguments"):
        for at, call in enumerate(fitting):
            if room >= 0:
                return fitting
            fitting[at] = structs.replace(call, **{left_out: None})
            room += _size(call) - _size(fitting[at])
    return fitting


def _size(shown: o.ToolCall | o.Message) -> int:
    return len(msgspec.json.encode(shown)) + len(",")
