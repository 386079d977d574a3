"""The AsyncAPI 3.0 document: the same frames, as operations of one WebSocket channel."""

from msgspec import Struct

from protocol.codec import CODECS
from protocol.documents.schema import (
    CLIENT_FRAMES,
    PREFIX,
    SERVER_FRAMES,
    Node,
    definitions,
    rewritten,
)
from protocol.frames.from_client import ClientFrame
from protocol.frames.from_server import Error
from protocol.session import ANSWERED_BY

MEDIA_TYPES = {"parley.v1.json": "application/json", "parley.v1.msgpack": "application/vnd.msgpack"}
CHANNEL = {"$ref": "#/channels/ws"}


def document() -> Node:
    """The whole document; self-contained, because tools fetch one file."""
    frames = CLIENT_FRAMES + SERVER_FRAMES
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parley",
            "version": "1",
            "description": (
                "Chat with language models over a WebSocket. An answer is a numbered log that any "
                "device can follow, leave, resume and stop. Close codes and error codes: "
                "`schema/frames.json`; rules and dialogues: `PROTOCOL.md`."
            ),
        },
        "defaultContentType": MEDIA_TYPES["parley.v1.json"],
        "servers": {
            "parley": {
                "host": "{host}",
                "protocol": "wss",
                "variables": {"host": {"default": "localhost:8000"}},
                "security": [
                    {"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY
                ],
            }
        },
        "channels": {"ws": _channel(frames)},
        "operations": {
            **{f"receive{frame.__name__}": _receive(frame) for frame in CLIENT_FRAMES},
            **{f"send{frame.__name__}": _operation("send", frame) for frame in SERVER_FRAMES},
        },
        "components": {
            "messages": {frame.__name__: _message(frame) for frame in frames},
            "schemas": rewritten(definitions(), _moved),
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: Node = {
    "header": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "`Authorization` of the upgrade; browsers cannot set it.",
    },
    "hello": {
        "type": "apiKey",
        "in": "password",
        "description": "The same JWT as `token` of the first frame, `hello`.",
    },
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "From `POST /api/v1/tickets`; good once, for 30 s; a JWT is refused here.",
    },
}


def _channel(frames: tuple[type[Struct], ...]) -> Node:
    offered = {
        "type": "string",
        "enum": list(CODECS),
        "description": "; ".join(
            f"{name}: {MEDIA_TYPES[name]} in {'binary' if codec.binary else 'text'} frames"
            for name, codec in CODECS.items()
        )
        + ". None offered means the first.",
    }
    return {
        "address": "/ws",
        "description": "Both ways, one frame a message, no compression.",
        "messages": {
            frame.__name__: {"$ref": f"#/components/messages/{frame.__name__}"} for frame in frames
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"ticket": {"type": "string"}}},
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": offered,
                        "Authorization": {"type": "string"},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-media-types": {name: MEDIA_TYPES[name] for name in CODECS},
    }


def _message(frame: type[Struct]) -> Node:
    return {
        "name": frame.__struct_config__.tag,
        "title": frame.__name__,
        "summary": summary(frame),
        "contentType": MEDIA_TYPES["parley.v1.json"],
        "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
    }


def _operation(action: str, frame: type[Struct]) -> Node:
    return {
        "action": action,
        "channel": CHANNEL,
        "summary": summary(frame),
        "messages": [_in_channel(frame)],
    }


def _receive(frame: type[ClientFrame]) -> Node:
    answer = ANSWERED_BY[frame]
    if answer is None:
        return _operation("receive", frame)
    reply = {"channel": CHANNEL, "messages": [_in_channel(answer), _in_channel(Error)]}
    return {**_operation("receive", frame), "reply": reply}


def _in_channel(frame: type[Struct]) -> Node:
    return {"$ref": f"#/channels/ws/messages/{frame.__name__}"}


def summary(struct: type[Struct]) -> str:
    """The first paragraph of a struct's docstring."""
    return (struct.__doc__ or "").split("\n\n")[0]


def _moved(node: Node) -> Node:
    """References as they are spelt here; an array's `items` and the like pass unchanged."""
    moved = dict(node)
    if isinstance(node.get("$ref"), str):
        moved["$ref"] = node["$ref"].replace(PREFIX, "#/components/schemas/")
    if isinstance(node.get("discriminator"), dict):
        # AsyncAPI names the property alone; the mapping is OpenAPI's.
        moved["discriminator"] = node["discriminator"]["propertyName"]
    return moved
