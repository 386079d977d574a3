"""What each field of a client's frame takes and refuses, as vectors derived from its type."""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from msgspec import inspect

from protocol.documents.schema import CLIENT_FRAMES
from protocol.frames.from_client import ToolResult

Row: TypeAlias = dict[str, Any]
# A value, what is wrong with it, and the error it earns; None for one that is taken.
Case: TypeAlias = tuple[Any, str, str | None]

SHAPE, VALUE = "invalid_frame", "invalid_field"
KINDS: tuple[tuple[str, Any], ...] = (
    ("null", None),
    ("a bool", True),
    ("a whole number", 5),
    ("a fraction", 1.5),
    ("a text", "x"),
    ("an array", []),
    ("an object", {}),
)
NO_TOKENS = ("", "x" * 65, "a b", "a/b", "é", "a\n", "\0")


def rows() -> list[Row]:
    """A row per frame, field and kind of value."""
    return [
        {
            "class": "field",
            "name": f"{frame['type']}{where}: {what}",
            "layer": "codec",
            "state": "open",
            "frame": frame,
            "expect": {"error": error} if error else {"ok": True},
            "lives": True,
        }
        for info in inspect.multi_type_info(CLIENT_FRAMES)
        for frame, where, what, error in _frames(info)
    ]


def _frames(info: Any) -> Iterator[tuple[Row, str, str, str | None]]:
    for value, what, error in _object_cases(info):
        path, _, problem = what.rpartition(": ")
        yield {"type": info.tag, **value}, path, problem, error


def _object_cases(info: Any) -> Iterator[Case]:
    """Cases of an object: its own, then those of each of its fields, inside a minimal object."""
    minimal = _example(info)
    yield minimal, ": minimal", None
    yield {**minimal, "role": "system"}, ": an unknown field", SHAPE
    one_of = ("content", "error") if info.cls is ToolResult else ()
    for field in info.fields:
        name = field.encode_name
        rest = {key: value for key, value in minimal.items() if key not in {name, *one_of}}
        if field.required:
            yield rest, f".{name}: missing", SHAPE
        if one_of and name not in one_of:
            rest["content"] = "x"
        for value, what, error in _cases(field.type):
            if value is None and name in one_of:
                continue
            yield {**rest, name: value}, f".{name}{what}", error


def _cases(kind: Any) -> Iterator[Case]:
    """Cases of any type: other kinds of value first, then those of its own kinds."""
    options = _options(kind)
    taken = {name for option in options for name in _taken(option)}
    for name, value in KINDS:
        if name not in taken:
            fraction = name == "a fraction" and "a whole number" in taken
            yield value, f": {name}", VALUE if fraction else SHAPE
    if "null" in taken:
        yield None, ": null", None
    for option in options:
        yield from _own_cases(option)


def _own_cases(kind: Any) -> Iterator[Case]:
    match kind:
        case inspect.StrType():
            yield from _text_cases(kind)
        case inspect.IntType() | inspect.FloatType():
            step = 1 if isinstance(kind, inspect.IntType) else 0.001
            if kind.ge is not None:
                yield kind.ge, ": its least", None
                yield kind.ge - step, ": below its least", VALUE
            if kind.le is not None:
                yield kind.le, ": its most", None
                yield kind.le + step, ": above its most", VALUE
        case inspect.EnumType():
            for member in kind.cls:
                yield member.value, f": {member.value}", None
            yield "nonesuch", ": not on its list", VALUE
        case inspect.ListType():
            yield from _array_cases(kind)
        case inspect.DictType():
            yield from _map_cases(kind)
        case inspect.StructType():
            yield from _object_cases(kind)


def _text_cases(kind: Any) -> Iterator[Case]:
    example = _example(kind)
    yield example + "\0", ": U+0000", VALUE
    if kind.pattern and not re.search(kind.pattern, "a b"):
        for text in NO_TOKENS:
            yield text, f": {text[:2]!a} of {len(text)}", VALUE
    elif kind.pattern:
        yield " \t\n", ": blank", VALUE
    if kind.min_length:
        yield "", ": empty", VALUE
    # Longer ones are rows of refusals.json, which can say "so many times" instead of saying it all.
    if kind.max_length and kind.max_length <= 256 and not kind.pattern:
        # Beyond the BMP, because a length counts code points here, not UTF-16 units.
        yield "\U0001f600" * kind.max_length, ": its longest", None
        yield "\U0001f600" * (kind.max_length + 1), ": too long", VALUE


def _array_cases(kind: Any) -> Iterator[Case]:
    item = _example(kind.item_type)
    yield [], ": empty", None
    yield [item] * kind.max_length, ": its longest", None
    yield [item] * (kind.max_length + 1), ": too long", VALUE
    for value, what, error in _cases(kind.item_type):
        yield [value], f"[0]{what}", error


def _map_cases(kind: Any) -> Iterator[Case]:
    yield {}, ": empty", None
    value = _example(kind.value_type)
    if kind.max_length:
        full = {f"k{number}": value for number in range(kind.max_length)}
        yield full, ": its most", None
        yield full | {"one more": value}, ": too many", VALUE
    for key, what, error in _own_cases(kind.key_type):
        yield {key: value}, f" key{what}", error
    if not _is_free_json(kind.value_type):
        for value, what, error in _cases(kind.value_type):
            yield {"k": value}, f".k{what}", error


def _options(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, inspect.Metadata):
        return _options(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(option for part in kind.types for option in _options(part))
    return (kind,)


def _taken(kind: Any) -> tuple[str, ...]:
    """Which of KINDS a type takes."""
    return {
        inspect.NoneType: ("null",),
        inspect.BoolType: ("a bool",),
        inspect.IntType: ("a whole number",),
        inspect.FloatType: ("a whole number", "a fraction"),
        inspect.StrType: ("a text",),
        inspect.EnumType: ("a text",),
        inspect.ListType: ("an array",),
        inspect.DictType: ("an object",),
        inspect.StructType: ("an object",),
    }[type(kind)]


def _is_free_json(kind: Any) -> bool:
    return isinstance(kind, inspect.Metadata) and kind.extra_json_schema == {"x-parley": "json"}


def _example(kind: Any) -> Any:
    """A plain value that the type takes."""
    first = _options(kind)[0]
    match first:
        case inspect.StructType():
            needed = {f.encode_name: _example(f.type) for f in first.fields if f.required}
            return needed | ({"content": "x"} if first.cls is ToolResult else {})
        case inspect.StrType():
            return "up" if first.pattern and not re.search(first.pattern, "x") else "x"
        case inspect.IntType() | inspect.FloatType():
            return first.ge or 0
        case inspect.EnumType():
            return next(iter(first.cls)).value
        case inspect.ListType():
            return []
        case inspect.DictType():
            return {}
    return None if isinstance(first, inspect.NoneType) else True
