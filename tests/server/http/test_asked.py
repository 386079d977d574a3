"""Bodies and queries, beyond what their types say by themselves."""

import msgspec
import pytest

from server.http.asked import Creating, ListQuery, MessagesQuery, Order
from storage.records import Change, ListedBy, NewConversation


@pytest.mark.parametrize(
    ("sort", "order", "descending"),
    [
        (ListedBy.UPDATED_AT, None, True),
        (ListedBy.CREATED_AT, None, True),
        (ListedBy.TITLE, None, False),
        (ListedBy.TITLE, Order.DESCENDING, True),
        (ListedBy.UPDATED_AT, Order.ASCENDING, False),
    ],
)
def test_a_list_begins_with_the_newest_or_with_a(
    sort: ListedBy, order: Order | None, *, descending: bool
) -> None:
    """Unless asked otherwise."""
    assert ListQuery(sort=sort, order=order).descending is descending


@pytest.mark.parametrize("other", ["before", "leaf"])
def test_a_cursor_goes_without_what_began_its_list(other: str) -> None:
    """It would say the same, or something else."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"cursor": "x", other: "m_1"}, type=MessagesQuery)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"leaf": "m_2", "before": "m_1"}, type=MessagesQuery)


def test_all_that_can_be_made_can_be_asked_for() -> None:
    """A field that the store learns takes its place here, or is the server's alone."""
    assert set(Creating.__struct_fields__) == set(NewConversation.__struct_fields__)
    servers = {"summary", "status"}
    assert set(Change.__struct_fields__) == set(Creating.__struct_fields__) | servers
