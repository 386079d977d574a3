"""The variables that `Settings` makes: their names, and how a text becomes their value."""

import math
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields

from server.config.settings import Settings

_PLAIN = inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.EnumType


class Variable(Struct, frozen=True, kw_only=True):
    """One setting, as the environment spells it; `section` is empty for those of no section."""

    name: str
    section: str
    field: str
    type: Any
    default: Any
    description: str
    example: str | None
    secret: bool

    @property
    def wanted(self) -> str:
        """What a value must be, as the end of a sentence."""
        return _wanted(_bare(inspect.type_info(self.type)))

    @property
    def shown(self) -> str | None:
        """An assignment that is right, where one can be shown to everybody."""
        value = self.example or spelled(self.default)
        return f"{self.name}={value}" if value else None

    def value(self, text: str) -> Any:
        """The text as a value of the type; ValueError if it is none."""
        try:
            return _value(text, self.type)
        except msgspec.ValidationError:
            # Where a number or a word of a list is wanted, nobody puts what must not be shown.
            plain = isinstance(_bare(inspect.type_info(self.type)), _PLAIN)
            shown = f", not {text[:40]!r}" if plain else ""
            raise ValueError(f"must be {self.wanted}{shown}") from None


def spelled(value: object) -> str:
    """A value as one would write it into the environment."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case str() | int() | Path():
            return str(value)
        case tuple() | frozenset():
            return ",".join(map(spelled, value))
    raise TypeError(f"no setting can be {value!r}")


def _variables() -> Iterator[Variable]:
    for field in fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            for inner in fields(field.type):
                name = f"PARLEY_{field.name}_{inner.name}".upper()
                if _extra(inner).get("variable") != "":
                    yield _variable(name, field.name, inner)
            continue
        own = _extra(field).get("variable")
        if own != "":
            yield _variable(own or f"PARLEY_{field.name}".upper(), "", field)


def _variable(name: str, section: str, field: FieldInfo) -> Variable:
    words = _words(field)
    return Variable(
        name=name,
        section=section,
        field=field.name,
        type=field.type,
        default=field.default,
        description=words.get("description", ""),
        example=next(iter(words.get("examples", [])), None),
        secret=_extra(field).get("secret", False),
    )


def _words(field: FieldInfo) -> dict[str, Any]:
    """What its `Meta` says to people."""
    info = inspect.type_info(field.type)
    return (info.extra_json_schema or {}) if isinstance(info, inspect.Metadata) else {}


def _extra(field: FieldInfo) -> dict[str, Any]:
    """What its `Meta` says to us."""
    info = inspect.type_info(field.type)
    return (info.extra or {}) if isinstance(info, inspect.Metadata) else {}


def _bare(info: inspect.Type) -> inspect.Type:
    """The type behind its words, and behind `| None`, which is what an unset variable gives."""
    while True:
        match info:
            case inspect.Metadata():
                info = info.type
            case inspect.UnionType(types=(one, inspect.NoneType())):
                info = one
            case _:
                return info


def _value(text: str, type_: Any) -> Any:
    info = _bare(inspect.type_info(type_))
    raw: Any = text
    match info:
        case inspect.VarTupleType() | inspect.FrozenSetType():
            raw = [part.strip() for part in text.split(",") if part.strip()]
        case inspect.EnumType():
            raw = text.lower()
    value = msgspec.convert(raw, type_, strict=False, dec_hook=_path)
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("not finite")
    return value


def _path(type_: type, value: Any) -> Path:
    if type_ is not Path:
        # Our mistake, not the operator's: of a TypeError msgspec would make words about the value.
        raise NotImplementedError(f"no setting can be a {type_}")
    return Path(value)


def _wanted(info: inspect.Type) -> str:
    match info:
        case inspect.IntType():
            return f"a whole number{_bounds(info)}"
        case inspect.FloatType():
            return f"a number{_bounds(info)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.EnumType():
            return f"one of {', '.join(member.value for member in info.cls)}"
        case inspect.CustomType():
            return "a path"
        case inspect.StrType():
            return f"a text{_lengths(info)}"
        case inspect.VarTupleType() | inspect.FrozenSetType():
            item = _bare(info.item_type)
            if isinstance(item, inspect.EnumType):
                return f"some of {', '.join(member.value for member in item.cls)}, with commas"
            return "a list with commas"
    raise TypeError(f"no setting can be a {type(info).__name__}")


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    low, high = info.ge, info.le
    if low is not None and high is not None:
        return f" from {spelled(low)} to {spelled(high)}"
    words = []
    if info.gt is not None:
        words.append(f"more than {spelled(info.gt)}")
    if low is not None:
        words.append(f"at least {spelled(low)}")
    if info.lt is not None:
        words.append(f"less than {spelled(info.lt)}")
    if high is not None:
        words.append(f"at most {spelled(high)}")
    return f" of {' and '.join(words)}" if words else ""


def _lengths(info: inspect.StrType) -> str:
    return f" of at most {info.max_length} characters" if info.max_length is not None else ""


VARIABLES: tuple[Variable, ...] = tuple(_variables())
