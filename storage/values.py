"""What rows are made of: whose they are, what is carried unread, what was spent."""

from typing import TypeAlias

from msgspec import Raw, Struct

from protocol.types import Usage

# Carried and never looked into: whoever put it in knows its type and decodes it.
Json: TypeAlias = Raw
EMPTY_OBJECT = Raw(b"{}")
EMPTY_LIST = Raw(b"[]")

NANO_PER_USD = 1_000_000_000


class Owner(Struct, frozen=True):
    """Whose rows a request may reach; comes from a verified token, never from a frame."""

    tenant: str
    user: str


class Once(Struct, frozen=True):
    """A client's id for what it asks, and the hash of what it asks."""

    id: str
    body: str


class Spent(Struct, frozen=True):
    """What something consumed, and cost in whole nano-dollars, so that sums are exact."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0

    def usage(self) -> Usage:
        """The same as the wire has it."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            total_tokens=self.prompt_tokens + self.completion_tokens,
            cost_usd=self.cost_nano / NANO_PER_USD,
        )
