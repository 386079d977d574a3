"""Frames out of thin air: any legal one, built from the types, and illegal ones, made from legal.

`frame(...)` is a Hypothesis strategy and finds small counterexamples; `Mutator` is a fast, seeded
stream of damaged messages for running a million of them.
"""

import random
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import Struct, inspect

from protocol.codec import JSON, MSGPACK, Codec
from protocol.documents.schema import CLIENT_FRAMES, SERVER_FRAMES
from protocol.types import MAX_SAFE_INTEGER
from tests.support.vectors import Message, messages, rows

Plain: TypeAlias = dict[str, Any]

LONGEST = 40  # of texts whose bound is far away; length is seldom what breaks things
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@lru_cache
def client_frame() -> SearchStrategy[Struct]:
    """Any frame that a client may send."""
    return frame(*CLIENT_FRAMES)


@lru_cache
def server_frame() -> SearchStrategy[Struct]:
    """Any frame that the server may send; logged ones with and without `seq`."""
    return frame(*SERVER_FRAMES)


def frame(*classes: type[Struct]) -> SearchStrategy[Struct]:
    """Any frame of these types."""
    return st.one_of([_struct(info) for info in inspect.multi_type_info(classes)])


def _struct(info: Any) -> SearchStrategy[Struct]:
    required = {f.name: _value(f.type) for f in info.fields if f.required}
    optional = {f.name: _value(f.type) for f in info.fields if not f.required}

    def build(fields: dict[str, Any]) -> Struct:
        try:
            made: Struct = info.cls(**fields)
        except ValueError:  # a rule between fields, as in ToolResult
            assume(False)
            raise
        return made

    return st.fixed_dictionaries(required, optional=optional).map(build)


def _value(kind: Any) -> SearchStrategy[Any]:
    match kind:
        case inspect.Metadata(extra_json_schema={"x-parley": "json"}):
            return _FREE_JSON
        case inspect.Metadata():
            return _value(kind.type)
        case inspect.UnionType():
            return st.one_of([_value(option) for option in kind.types])
        case inspect.ListType():
            return st.lists(_value(kind.item_type), max_size=min(kind.max_length or 4, 4))
        case inspect.DictType():
            return st.dictionaries(_value(kind.key_type), _value(kind.value_type), max_size=4)
        case inspect.StructType():
            return _struct(kind)
    return _plain(kind)


def _plain(kind: Any) -> SearchStrategy[Any]:
    match kind:
        case inspect.StrType():
            return _text(kind)
        case inspect.IntType():
            least = -MAX_SAFE_INTEGER if kind.ge is None else kind.ge
            return st.integers(least, MAX_SAFE_INTEGER if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)
        case inspect.EnumType():
            return st.sampled_from(list(kind.cls))
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    raise TypeError(f"no strategy for {kind}")


def _text(kind: Any) -> SearchStrategy[str]:
    if kind.pattern is None:
        longest = min(kind.max_length or LONGEST, LONGEST)
        return st.text(TEXT, min_size=kind.min_length or 0, max_size=longest)
    if not kind.pattern.startswith("^"):  # it asks for something somewhere, as for a visible sign
        return st.text(TEXT, min_size=1, max_size=LONGEST).filter(re.compile(kind.pattern).search)
    pattern = kind.pattern.removesuffix(r"(?![\s\S])") + r"\Z"
    return st.from_regex(re.compile(pattern, re.ASCII), alphabet=TEXT)


_WHOLE = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
_SCALAR = (
    st.none()
    | st.booleans()
    | _WHOLE
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(TEXT, max_size=8)
)
_FREE_JSON = st.recursive(
    _SCALAR,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(TEXT, max_size=8), part, max_size=3)
    ),
    max_leaves=6,
)

# What a field, a key or an element might hold instead.
WILD: tuple[Any, ...] = (
    None,
    True,
    *(0, 1, -1, 5, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64 - 1, -(2**63)),
    *(0.5, -0.0, 1e300, float("inf"), float("nan")),
    *("", " ", "\0", "x", "x" * 64, "x" * 65, "a b", "\U0001f600", "\ufeff", "\u202e", "ping"),
    *([], {}, [[]], [None], {"": 1}, {"a": {"b": [1]}}, {"type": "ping"}, b"x", b"\xff"),
)
WILD_KEYS = ("type", "id", "conversation", "seq", "role", "__proto__", "", "\0", "x" * 300)
# Tokens of either encoding: what stands at a fault's place in real traffic.
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b"null", b"1e400"),
    *(b"\x00", b"\x80", b"\x90", b"\xa0", b"\xc0", b"\xc1", b"\xc4", b"\xc7", b"\xcb", b"\xcf"),
    *(b"\xd4", b"\xd6\xff", b"\xd9", b"\xdb\xff\xff\xff\xff", b"\xdc", b"\xde", b"\xdf", b"\xff"),
)


JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
JSON_VALUES = (
    *(b"0", b"-1", b"1.5", b"1e400", b"9007199254740992", b"99999999999999999999", b"-0", b"01"),
    *(
        b'""',
        b'" "',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\xf0\x9f\x98\x80"',
        b'"type"',
        b'"id"',
        b'"ping"',
    ),
    *(b"null", b"true", b"[]", b"{}", b"NaN", b"nul", b'"', b"[[[[[[[[[[[[[[1]]]]]]]]]]]]]]"),
)


class Mutator:
    """A seeded stream of one side's messages: frames of the vectors, damaged or as they are."""

    def __init__(self, seed: int, direction: str) -> None:
        self._random = random.Random(seed)
        encodings = [row for row in rows("encodings") if row["direction"] == direction]
        self._frames: list[Plain] = [row["frame"] for row in encodings]
        self._bytes: dict[Codec, list[bytes]] = {
            JSON: [row["json"].encode() for row in encodings],
            MSGPACK: [bytes.fromhex(row["msgpack"]) for row in encodings],
        }
        for row in rows("refusals") if direction == "client" else []:
            # Of the large ones those that are about a text's length: no damage makes one that long.
            if {"frame", "text", "hex"} & set(row) or row["class"] == "F12":
                for codec, message in messages(row | {"cut": None}):
                    raw = message.encode() if isinstance(message, str) else message
                    self._bytes[codec].append(raw)
        self._damages: tuple[Callable[[bytes, Codec], bytes], ...] = (
            self._flip,
            self._cut,
            self._splice,
            self._repeat,
            self._insert,
            self._remove,
            *[self._swap] * 6,
        )

    def next(self) -> tuple[Codec, Message]:
        """The next message."""
        chance = self._random.random()
        codec = JSON if self._random.random() < 0.5 else MSGPACK
        if chance < 0.5:
            raw = self._spelt(self._replace, codec)
        else:
            raw = self._random.choice(self._bytes[codec])
            for _ in range(0 if chance < 0.6 else 1 if chance < 0.9 else 3):
                raw = self._random.choice(self._damages)(raw, codec)
        if self._random.random() < 0.01:
            raw = self._grown(raw, codec)
        return codec, raw if codec.binary else raw.decode("utf-8", "replace")

    def _spelt(self, change: Callable[[Any, Any], None], codec: Codec) -> bytes:
        plain = self._altered(self._random.choice(self._frames), change)
        return msgspec.msgpack.encode(plain) if codec.binary else msgspec.json.encode(plain)

    def _altered(self, value: Any, change: Callable[[Any, Any], None]) -> Any:
        """A copy with one place changed; everything beside the way to it is shared."""
        copy = value.copy()
        places = list(range(len(value)) if isinstance(value, list) else value)
        deeper = [place for place in places if isinstance(value[place], dict | list)]
        if deeper and self._random.random() < 0.6:
            place = self._random.choice(deeper)
            copy[place] = self._altered(copy[place], change)
        elif places and self._random.random() < 0.85:
            change(copy, self._random.choice(places))
        elif isinstance(value, list):
            copy.append(self._wild())
        else:
            copy[self._random.choice(WILD_KEYS)] = self._wild()
        return copy

    def _replace(self, holder: Any, place: Any) -> None:
        if self._random.random() < 0.3:
            del holder[place]
        else:
            holder[place] = self._wild()

    def _enlarge(self, holder: Any, place: Any) -> None:
        """Put more of it where something is."""
        value, size = holder[place], int(self._random.random() * 64_000)
        if isinstance(value, str):
            part = self._random.choice(("x", "é", " ", value or "x"))
            holder[place] = part * (size // len(part))
        elif isinstance(value, dict):
            holder[place] = value | dict.fromkeys(map(str, range(size // 10)), self._wild())
        else:
            holder[place] = (value if isinstance(value, list) and value else [self._wild()]) * size

    def _wild(self) -> Any:
        return self._random.choice(WILD)

    def _at(self, raw: bytes) -> int:
        return int(self._random.random() * (len(raw) + 1))

    def _flip(self, raw: bytes, _: Codec) -> bytes:
        damaged = bytearray(raw)
        for _i in range(1 + int(self._random.random() * 4) if raw else 0):
            damaged[self._at(raw) - 1] ^= 1 << int(self._random.random() * 8)
        return bytes(damaged)

    def _cut(self, raw: bytes, _: Codec) -> bytes:
        return raw[: self._at(raw)]

    def _splice(self, raw: bytes, codec: Codec) -> bytes:
        other = self._random.choice(self._bytes[codec])
        return raw[: self._at(raw)] + other[self._at(other) :]

    def _repeat(self, raw: bytes, _: Codec) -> bytes:
        start, end = sorted((self._at(raw), self._at(raw)))
        return raw[:end] + raw[start:]

    def _insert(self, raw: bytes, _: Codec) -> bytes:
        at = self._at(raw)
        return raw[:at] + self._random.choice(TOKENS) + raw[at:]

    def _remove(self, raw: bytes, _: Codec) -> bytes:
        start, end = sorted((self._at(raw), self._at(raw)))
        return raw[:start] + raw[end:]

    def _swap(self, raw: bytes, codec: Codec) -> bytes:
        """Another value in the place of one; in MessagePack `_altered` does that."""
        found = [] if codec.binary else list(JSON_TOKEN.finditer(raw[:2000]))
        if not found:
            return self._flip(raw, codec)
        start, end = self._random.choice(found).span()
        return raw[:start] + self._random.choice(JSON_VALUES) + raw[end:]

    def _grown(self, raw: bytes, codec: Codec) -> bytes:
        """About as much as a frame may have: a place repeated, or a large value in a frame."""
        if self._random.random() < 0.3:
            start = self._at(raw)
            part = raw[start : start + 1 + int(self._random.random() * 20)] or b"\x90"
            return raw[:start] + part * (64_000 // len(part)) + raw[start:]
        return self._spelt(self._enlarge, codec)
