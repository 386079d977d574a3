"""What may stand in a log: ids, sizes and codes. Everything else is left by its size or its type.

This is the net below the rule, not the rule: nobody logs what people wrote, or what proves who they
are. Of what is logged by mistake, private fields are known by their names, secrets by their looks.
"""

import re
from collections.abc import Mapping, Sized
from enum import Enum
from hashlib import blake2b
from ipaddress import IPv6Network
from socket import AF_INET, inet_pton
from typing import TypeAlias

from protocol.types import PRIVATE

Plain: TypeAlias = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None

HIDDEN = PRIVATE | {
    "authorization",
    "cookie",
    "email",
    "password",
    "renewal",
    "secret",
    "ticket",
    "traceback",
}
MOST_CHARACTERS = 512
MOST_PARTS = 32  # of a list or an object
DEEPEST = 3

# The parts of a signed token, and what is long and random enough to be a key, a ticket or a secret:
# 256 bits are 43 characters of base64url or 64 of hex. Our ids and trace ids stay below 40.
SECRET_CHARACTERS = 40
_SECRET = re.compile(rf"eyJ[\w-]+(?:\.[\w-]*)+|[\w-]{{{SECRET_CHARACTERS},}}", re.ASCII)
_QUERY = re.compile(r"\?[^\s\"'<>]+")
_ORDINARY_ID = re.compile(r"[A-Za-z0-9._:~|-]{1,64}")


def scrubbed(fields: Mapping[str, object]) -> dict[str, Plain]:
    """The fields of a log line as they may be written."""
    return {name: _field(name, value, DEEPEST) for name, value in fields.items()}


def words(text: str) -> str:
    """A text that is no person's, without what looks like a secret and what harms a terminal."""
    if len(text) < SECRET_CHARACTERS and text.isalnum():  # most fields of most lines
        return text
    cut = text[: MOST_CHARACTERS + 1]
    if not cut.isprintable():
        cut = "".join(sign if sign.isprintable() else "·" for sign in cut)
    if "?" in cut:
        cut = _QUERY.sub("?…", cut)
    cut = _SECRET.sub("<secret>", cut)
    return cut if len(cut) <= MOST_CHARACTERS else cut[: MOST_CHARACTERS - 1] + "…"


def user_id(user: str) -> str:
    """A user's id, or a pseudonym of one that is a person's address or name.

    Issuers choose what identifies their people, an e-mail address too. The pseudonym is the same
    each time, so that the lines of one user are found together.
    """
    if _ORDINARY_ID.fullmatch(user):
        return user
    return "user#" + blake2b(user.encode("utf-8", "replace"), digest_size=8).hexdigest()


def network_of(address: str) -> str:
    """The network an address is in: enough to see where a flood comes from, too wide for a person.

    /24 of IPv4 and /48 of IPv6, as is customary for what counts as anonymised.
    """
    try:
        first, second, third, _ = inet_pton(AF_INET, address)
    except (OSError, ValueError):
        pass
    else:
        return f"{first}.{second}.{third}.0/24"
    try:
        return str(IPv6Network(f"{address}/48", strict=False))
    except ValueError:  # a Unix socket's peer has none
        return "unknown"


def _field(name: str, value: object, depth: int) -> Plain:
    if name in HIDDEN and value is not None:
        return f"<{len(value)}>" if isinstance(value, Sized) else "<…>"
    return _plain(value, depth)


def _plain(value: object, depth: int) -> Plain:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return words(value)
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):  # a bigger one has no place in JSON
        return value if -(2**63) <= value < 2**63 else "<int>"
    match value:
        case BaseException() | type():
            return value.__name__ if isinstance(value, type) else type(value).__name__
        case Mapping() if depth:
            return _object(value, depth)
        case list() | tuple() if depth:
            return [_plain(part, depth - 1) for part in value[:MOST_PARTS]]
    # Whatever else it is, its repr may hold anything.
    size = f" {len(value)}" if isinstance(value, Sized) else ""
    return f"<{type(value).__name__}{size}>"


def _object(value: Mapping[object, object], depth: int) -> dict[str, Plain]:
    some = list(value.items())[:MOST_PARTS]
    return {
        words(str(name)) if isinstance(name, str | int) else "<…>": _field(
            str(name), part, depth - 1
        )
        for name, part in some
    }
