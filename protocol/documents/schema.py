"""The JSON Schema of every frame, corrected where the types say less than the wire."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, get_args

import msgspec
from msgspec import Struct

from protocol.codes import CloseCode, ErrorCode, advice
from protocol.frames import from_client, from_server, objects
from protocol.limits import NESTING
from protocol.offer import Feature
from protocol.types import FINISH_REASONS

Node: TypeAlias = dict[str, Any]

CLIENT_FRAMES: tuple[type[from_client.ClientFrame], ...] = get_args(from_client.AnyClientFrame)
SERVER_FRAMES: tuple[type[from_server.ServerFrame], ...] = get_args(from_server.AnyServerFrame)
LOGGED_FRAMES = tuple(frame for frame in SERVER_FRAMES if issubclass(frame, from_server.Logged))

PREFIX = "#/$defs/"


def document() -> Node:
    """The whole schema, with the codes beside the frames."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:parley:frames:v1",
        "title": "Parley frames, version 1",
        "description": (
            "A frame from either side; ClientFrame and ServerFrame name the sides. Every text is "
            "Unicode without U+0000 and unpaired surrogates; `welcome.limits` adds bounds in bytes."
        ),
        "anyOf": [_ref("ClientFrame"), _ref("ServerFrame")],
        "$defs": definitions(),
        "x-error-codes": {
            code.value: {
                "status": code.status,
                "retryable": code.retryable,
                "meaning": code.traits.meaning,
            }
            for code in ErrorCode
        },
        "x-close-codes": {
            str(code.value): {"reason": code.reason, "advice": advice(code).value}
            for code in CloseCode
        },
        "x-features": [feature.value for feature in Feature],
    }


@lru_cache(maxsize=1)  # msgspec writes free JSON out to its full depth first, which takes seconds
def definitions() -> dict[str, Node]:
    """A definition per struct and closed list, and the two unions. Not to be changed."""
    (client, server), found = msgspec.json.schema_components(
        [from_client.AnyClientFrame, from_server.AnyServerFrame], ref_template=PREFIX + "{name}"
    )
    found = {name: rewritten(node, _shortened) for name, node in found.items()}
    for name, struct in (vars(objects) | vars(from_server)).items():
        if name in found and issubclass(struct, Struct):
            _state_what_travels(found[name], struct)
    _state_rules(found)
    return {
        "ClientFrame": {"description": "Any frame from a client.", **client},
        "ServerFrame": {"description": "Any frame from the server.", **server},
        **found,
        "Rating": {
            "description": "A thumb or a mark.",
            "enum": ["up", "down", 1, 2, 3, 4, 5],
        },
        # JSON Schema sees no difference between 1 and 1.0, so the bound of whole ones is in words.
        "Scalar": {
            "description": "A plain value. A whole number stays within ±(2^53 - 1).",
            "type": ["string", "number", "boolean", "null"],
        },
        "Json": {
            "description": f"Free JSON, nested at most {NESTING} deep; whole numbers as in Scalar.",
            "anyOf": [
                _ref("Scalar"),
                {"type": "array", "items": _ref("Json")},
                {"type": "object", "additionalProperties": _ref("Json")},
            ],
        },
    }


def rewritten(node: Any, rule: Callable[[Node], Node]) -> Any:
    """The tree with `rule` applied from the root down, so that what it replaces is not entered."""
    if isinstance(node, dict):
        return {key: rewritten(part, rule) for key, part in rule(node).items()}
    if isinstance(node, list):
        return [rewritten(part, rule) for part in node]
    return node


def _ref(name: str) -> Node:
    return {"$ref": PREFIX + name}


_SCALAR = msgspec.json.schema(objects.Scalar)["anyOf"]
_RATING = msgspec.json.schema(objects.Rating)["anyOf"]
_NULL = {"type": "null"}


def _shortened(node: Node) -> Node:
    """Put a name where msgspec writes out a type that has one: free JSON would be megabytes."""
    options = node.get("anyOf", [])
    if node.get("x-parley") == "json":
        return _ref("Json")
    if options == _RATING:
        return _ref("Rating")
    if all(option in options for option in _SCALAR):
        others = [option for option in options if option not in _SCALAR]
        named = {"anyOf": [_ref("Scalar"), *others]} if others else _ref("Scalar")
        return {key: value for key, value in node.items() if key != "anyOf"} | named
    if len(node.get("enum", [])) == 1:
        return {"const": node["enum"][0]}
    return node


def _state_what_travels(node: Node, struct: type[Struct]) -> None:
    """Say of a server's object what its encoder does: defaults are left out, or always written."""
    for name, part in node["properties"].items():
        if "default" not in part:
            continue
        default = part.pop("default")
        if not struct.__struct_config__.omit_defaults:
            node["required"].append(name)
        elif default is None:
            node["properties"][name] = without_null(part)


def without_null(node: Node) -> Node:
    """The node for a value that is there."""
    rest = [option for option in node.get("anyOf", []) if option != _NULL]
    if len(rest) == len(node.get("anyOf", [])):
        return node
    others = {key: value for key, value in node.items() if key != "anyOf"}
    return others | (rest[0] if len(rest) == 1 else {"anyOf": rest})


def _state_rules(found: dict[str, Node]) -> None:
    """Add what holds on the wire and what a type cannot say."""
    for frame in LOGGED_FRAMES:
        node, properties = found[frame.__name__], found[frame.__name__]["properties"]
        meaning = "The frame's place in the conversation's log."
        if issubclass(frame, from_server.Text):
            meaning += " Absent in what completes a snapshot."
            since = "The first `seq` of those that this frame stands for."
            properties["from"] = {"description": since, **properties["from"], "minimum": 1}
            node["dependentRequired"] = {"from": ["seq"]}
        else:
            node["required"].insert(1, "seq")
        properties["seq"] = {"description": meaning, **properties["seq"], "minimum": 1}

    retrieval = found["Chat"]["properties"]["retrieval"]
    retrieval["anyOf"] = [
        {"const": False} if option == {"type": "boolean"} else option
        for option in retrieval["anyOf"]
    ]
    found["ToolResult"]["oneOf"] = [
        {"required": [name], "properties": {name: {"not": _NULL}}} for name in ("content", "error")
    ]
    found["Complete"]["oneOf"] = [
        {
            "properties": {
                "outcome": {"const": outcome.value},
                "finish_reason": {"enum": sorted(reason.value for reason in reasons)},
            }
        }
        for outcome, reasons in FINISH_REASONS.items()
    ]
