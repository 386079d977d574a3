"""What is left of a log's fields when private things were put there by mistake."""

import base64
from enum import StrEnum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from protocol.types import PRIVATE
from server.telemetry.scrub import (
    MOST_CHARACTERS,
    MOST_PARTS,
    network_of,
    scrubbed,
    user_id,
    words,
)

CANARY = "my dog is called Wotan"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
TICKET = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")


class Colour(StrEnum):
    RED = "red"


class Letter(Struct):
    text: str


@pytest.mark.parametrize("name", sorted(PRIVATE | {"ticket", "renewal", "email", "authorization"}))
def test_a_private_field_is_there_by_its_size_alone(name: str) -> None:
    """Under whatever depth it stands."""
    assert scrubbed({name: CANARY}) == {name: "<22>"}
    assert scrubbed({"frame": {name: CANARY}}) == {"frame": {name: "<22>"}}
    assert scrubbed({"frames": [{name: 7}, {name: None}]}) == {
        "frames": [{name: "<…>"}, {name: None}]
    }


@pytest.mark.parametrize("secret", [JWT, TICKET, "ab" * 32, JWT.rpartition(".")[0] + "."])
def test_what_looks_like_a_secret_is_masked_anywhere(secret: str) -> None:
    """In a word, in a sentence, in a list, in a key."""
    assert scrubbed({"event": f"Bearer {secret}, refused"}) == {"event": "Bearer <secret>, refused"}
    assert secret not in str(scrubbed({"a": [secret], "b": {secret: 1}}))


def test_ids_and_traces_are_no_secrets() -> None:
    """What a line is for stays legible."""
    ids = {"trace": "4bf92f3577b34da6a3ce929d0e0e4736", "answer": "msg_01k9x2v7q8e5m3c4r6t0y1z2a3"}
    assert scrubbed(ids) == ids


def test_a_query_is_cut_off() -> None:
    """The target of a request may hold a ticket, a search, a name."""
    assert words("GET /ws?ticket=abc&x=y HTTP/1.1") == "GET /ws?… HTTP/1.1"


def test_control_characters_reach_no_terminal() -> None:
    """Nor do line breaks that would forge a line, nor halves of pairs that no encoder takes."""
    assert words("a\x1b[2Jb\nc\ud800d\u202ee") == "a·[2Jb·c·d·e"


def test_a_long_text_is_cut() -> None:
    """A line stays a line."""
    assert len(words("word " * 1000)) == MOST_CHARACTERS
    assert scrubbed({"all": list(range(1000))}) == {"all": list(range(MOST_PARTS))}


def test_an_object_is_known_by_its_type() -> None:
    """Its repr may hold anything."""
    assert scrubbed(
        {
            "bytes": CANARY.encode(),
            "struct": Letter(CANARY),
            "failure": ValueError(CANARY),
            "kind": ValueError,
            "set": {CANARY},
            "deep": {"a": {"b": {"c": {"d": CANARY}}}},
            "object key": {(CANARY,): 1},
        }
    ) == {
        "bytes": "<bytes 22>",
        "struct": "<Letter>",
        "failure": "ValueError",
        "kind": "ValueError",
        "set": "<set 1>",
        "deep": {"a": {"b": {"c": "<dict 1>"}}},
        "object key": {"<…>": 1},
    }


def test_plain_values_stay() -> None:
    """Numbers, truth, codes and nothing at all."""
    fields = {"n": 1, "x": 0.5, "yes": True, "none": None, "colour": Colour.RED}
    assert scrubbed(fields) == {**fields, "colour": "red"}


anything: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["event", "text", "found"]), anything))
def test_whatever_is_logged_can_be_written(fields: dict[str, object]) -> None:
    """A line that cannot be encoded would fail whoever logs it."""
    assert msgspec.json.encode(scrubbed(fields)).decode().isprintable()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::1", "::/48"),
        ("", "unknown"),
        ("unix:/run/x", "unknown"),
    ],
)
def test_a_peer_is_known_by_its_network(address: str, network: str) -> None:
    """Where a flood comes from, and no person."""
    assert network_of(address) == network


@pytest.mark.parametrize("user", ["u1", "auth0|65f0c2", "visitor_01k9x2v7q8e5m3", "a" * 64])
def test_an_ordinary_user_id_stays(user: str) -> None:
    """It is what an operator looks for."""
    assert user_id(user) == user


@pytest.mark.parametrize("user", ["ada@example.org", "Ada Lovelace", "ä", "\ud800", "a" * 65])
def test_an_id_that_is_a_person_gets_a_pseudonym(user: str) -> None:
    """Always the same one."""
    assert user_id(user).startswith("user#")
    assert user not in user_id(user)
    assert user_id(user) == user_id(user)
    assert user_id(user) != user_id(user + "x")
