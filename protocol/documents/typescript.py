"""The frames and codes as TypeScript, written from the schema, so that the two cannot differ."""

import json

from protocol.codes import Advice, CloseCode, ErrorCode, advice
from protocol.documents.schema import (
    CLIENT_FRAMES,
    LOGGED_FRAMES,
    PREFIX,
    SERVER_FRAMES,
    Node,
    definitions,
    without_null,
)

HEADER = "// Written by scripts/generate from the server's own types; change those instead.\n"
WIDTH = 100

# A frame's type is called so in full: `Error` and `Type` alone would hide what everybody knows.
_FRAME_NAMES = {frame.__name__: f"{frame.__name__}Frame" for frame in CLIENT_FRAMES + SERVER_FRAMES}


def frames() -> str:
    """`frames.ts`: an interface per struct, a union per closed list, and the two unions."""
    logged = {"anyOf": [{"$ref": PREFIX + frame.__name__} for frame in LOGGED_FRAMES]}
    parts = {
        **definitions(),
        "LoggedFrame": {"description": "Any frame of a conversation's log.", **logged},
    }
    return "\n".join([HEADER, *(_declaration(name, node) for name, node in parts.items())])


def _declaration(name: str, node: Node) -> str:
    comment = _comment(node, "")
    name = _FRAME_NAMES.get(name, name)
    if "properties" not in node:
        return f"{comment}export type {name} ={_value(node, len(name) + 14)};\n"
    if "oneOf" in node and (choices := [option.get("required") for option in node["oneOf"]])[0]:
        return f"{comment}export type {name} = {_exclusive(node, [only for [only] in choices])};\n"
    return f"{comment}export interface {name} {{\n{_fields(node, node['properties'])}}}\n"


def _value(node: Node, used: int) -> str:
    """What follows `=`: on the same line if it fits behind what is `used` of it."""
    line = _type(node)
    if used + len(line) <= WIDTH:
        return f" {line}"
    return "".join(f"\n  | {_type(option)}" for option in _options(node))


def _options(node: Node) -> list[Node]:
    if "enum" in node:
        return [{"const": value} for value in node["enum"]]
    return list(node["anyOf"])


def _exclusive(node: Node, choices: list[str]) -> str:
    """An object that has exactly one of the fields `choices`."""
    shared = {name: part for name, part in node["properties"].items() if name not in choices}
    branches = ""
    for chosen in choices:
        kind = _type(without_null(node["properties"][chosen]))
        others = "".join(f"; readonly {name}?: never" for name in choices if name != chosen)
        branches += f"  | {{ readonly {chosen}: {kind}{others} }}\n"
    return f"{{\n{_fields(node, shared)}}} & (\n{branches})"


def _fields(node: Node, properties: Node) -> str:
    lines = ""
    for name, part in properties.items():
        required = name in node["required"]
        # A client leaves out what it does not say; `null` there is lenience, not a second spelling.
        kind = _type(part if required else without_null(part))
        lines += f"{_comment(part, '  ')}  readonly {name}{'' if required else '?'}: {kind};\n"
    return lines


def _comment(node: Node, indent: str) -> str:
    text = node.get("description") or next(
        (option["description"] for option in node.get("anyOf", []) if "description" in option), ""
    )
    return f"{indent}/** {' '.join(text.split())} */\n" if text else ""


def _type(node: Node) -> str:
    """The type of a schema's node; a node of a kind not met so far is a KeyError."""
    if "$ref" in node:
        name = str(node["$ref"]).removeprefix(PREFIX)
        return _FRAME_NAMES.get(name, name)
    if "const" in node:
        return json.dumps(node["const"])
    if "enum" in node or "anyOf" in node:
        return " | ".join(dict.fromkeys(_type(option) for option in _options(node)))
    if isinstance(node["type"], list):
        return " | ".join(_type({"type": name}) for name in node["type"])
    if node["type"] == "array":
        inner = _type(node["items"])
        return f"readonly ({inner})[]" if "|" in inner else f"readonly {inner}[]"
    if node["type"] == "object":
        return f"{{ readonly [key: string]: {_type(node['additionalProperties'])} }}"
    return _PLAIN[str(node["type"])]


_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def codes() -> str:
    """`codes.ts`: close codes with their advice, error codes with their traits."""
    return _CODES.format(
        header=HEADER,
        closes="".join(f"  {code.name}: {code.value},\n" for code in CloseCode),
        advice=" | ".join(f'"{kind.value}"' for kind in Advice),
        cases="".join(_case(kind) for kind in (Advice.RENEW, Advice.STOP)),
        errors="".join(_traits(code) for code in ErrorCode),
    )


def _case(kind: Advice) -> str:
    """The codes that get this advice by name, not by their range."""
    named = [code for code in CloseCode if advice(code) is kind and not 4500 <= code <= 4999]
    # By number: to name them would bring the whole table to every page.
    cases = "".join(f"    case {code.value}: // {code.name}\n" for code in named)
    return f'{cases}      return "{kind.value}";\n'


def _traits(code: ErrorCode) -> str:
    traits = {
        "status": code.status,
        "retryable": code.retryable,
        "meaning": code.traits.meaning,
    }
    lines = "".join(f"    {name}: {json.dumps(value)},\n" for name, value in traits.items())
    return f"  {code.value}: {{\n{lines}  }},\n"


_CODES = """{header}
import type {{ ErrorCode }} from "./frames.ts";

/** 4000–4499: reconnect and resume. 4500–4999: stop. The rest are RFC 6455's. */
export const CLOSE_CODES = {{
{closes}}} as const;

export type CloseCode = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];

/** What to do after a close: reconnect, reconnect only with a new token, or stop. */
export type Advice = {advice};

/** What to do after a close with `code`, for any code: ranges, so that this outlives the list. */
export function advice(code: number): Advice {{
  switch (code) {{
{cases}    default:
      return code >= 4500 && code <= 4999 ? "stop" : "reconnect";
  }}
}}

/** What is the same wherever an error code appears. */
export interface ErrorTraits {{
  /** Of the HTTP answer that carries it. */
  readonly status: number;
  /** Whether the same request, unchanged, may succeed later. */
  readonly retryable: boolean;
  readonly meaning: string;
}}

/** Every error that a client can meet, on the socket and over HTTP. */
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorTraits>> = {{
{errors}}};
"""
