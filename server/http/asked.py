"""What may be asked of conversations over HTTP: bodies and queries, by the socket's names."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from protocol.frames.from_client import VISIBLE, Comment, Prompt, Strict
from protocol.frames.objects import Metadata, ModelName, Name, Rating
from protocol.types import ConversationStatus, Count, Id
from server.http.cursors import CURSOR_CHARACTERS
from storage.records import Cursor, ListedBy

Title = Annotated[str, Meta(pattern=VISIBLE, max_length=512)]
Limit = Annotated[int, Meta(ge=1, le=100)]
CursorText = Annotated[str, Meta(min_length=1, max_length=CURSOR_CHARACTERS)]
Sought = Annotated[str, Meta(pattern=VISIBLE, max_length=200)]


class Order(StrEnum):
    """Which end of a list comes first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Format(StrEnum):
    """What a conversation is exported as."""

    JSON = "json"
    MARKDOWN = "markdown"


class Creating(Strict, frozen=True, kw_only=True):
    """`POST /conversations`."""

    title: Title | None = None
    model: ModelName | None = None
    system_prompt: Prompt | None = None
    collection: Name | None = None
    metadata: Metadata | None = None


class Changing(Strict, frozen=True, kw_only=True):
    """`PATCH /conversations/{id}`: what is not there stays, `null` takes it away."""

    title: Title | UnsetType | None = UNSET
    status: ConversationStatus | UnsetType = UNSET
    model: ModelName | UnsetType | None = UNSET
    system_prompt: Prompt | UnsetType | None = UNSET
    collection: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class Rated(Strict, frozen=True, kw_only=True):
    """`POST /conversations/{id}/feedback`."""

    message: Id
    rating: Rating
    comment: Comment | None = None


class ListQuery(Strict, frozen=True, kw_only=True):
    """`GET /conversations`. A list by title begins with A unless asked otherwise."""

    limit: Limit = 50
    cursor: CursorText | None = None
    sort: ListedBy = ListedBy.UPDATED_AT
    order: Order | None = None
    q: Sought | None = None
    status: ConversationStatus | None = None

    @property
    def descending(self) -> bool:
        """Whether the last one in the order comes first."""
        if self.order is None:
            return self.sort is not ListedBy.TITLE
        return self.order is Order.DESCENDING


class MessagesQuery(Strict, frozen=True, kw_only=True):
    """`GET /conversations/{id}/messages`."""

    limit: Limit = 50
    cursor: CursorText | None = None
    before: Id | None = None
    leaf: Id | None = None

    def __post_init__(self) -> None:
        """A cursor knows where it goes on."""
        if sum(each is not None for each in (self.cursor, self.before, self.leaf)) > 1:
            raise ValueError("`cursor`, `before` and `leaf` each go without the others")


class ExportQuery(Strict, frozen=True, kw_only=True):
    """`GET /conversations/{id}/export`."""

    format: Format = Format.JSON


class NoQuery(Strict, frozen=True, kw_only=True):
    """Of a request that has no parameters."""


class TimePlace(Cursor, frozen=True):
    """Where a page of conversations by a time ended, with no more than a database takes."""

    place: Count
    id: Id
    total: Count


class TitlePlace(Cursor, frozen=True):
    """The same by title."""

    place: Annotated[str, Meta(max_length=512)]
    id: Id
    total: Count


class MessagesPlace(Struct, frozen=True):
    """Where a page of messages ended, and how many there are in all."""

    before: Id
    total: Count
