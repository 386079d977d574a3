"""What is said of a server that did not do what a row says."""

from typing import Any


class Wrong(Exception):
    """The text tells what it did instead."""


def demand(true: object, otherwise: object = "") -> None:
    """`Wrong` unless it is so."""
    if not true:
        raise Wrong(str(otherwise)[:600])


def listed(value: Any) -> list[Any]:
    """One, or each of several that are as good."""
    return value if isinstance(value, list) else [value]
