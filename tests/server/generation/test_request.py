"""What was asked, through its row."""

from msgspec import Raw

from server.generation.request import Request, decode, encode
from server.providers.base import ToolOffer


def test_a_request_is_read_as_it_was_written() -> None:
    """Every field."""
    asked = Request(
        model="m",
        temperature=0.5,
        max_tokens=10,
        system_prompt="be brief",
        tools=(ToolOffer(name="t", description="d", parameters={"type": "object"}),),
        metadata={"page": 3},
        trace="t1",
    )
    assert decode(encode(asked)) == asked
    assert encode(Request()) == Raw(b"{}")


def test_a_newer_version_may_have_written_it() -> None:
    """What it knows more of is passed over."""
    assert decode(Raw(b'{"model":"m","later":1}')) == Request(model="m")


def test_it_does_not_show_what_a_person_wrote() -> None:
    """Its repr may stand in a log."""
    assert "brief" not in repr(Request(system_prompt="be brief", metadata={"a": "brief"}))
