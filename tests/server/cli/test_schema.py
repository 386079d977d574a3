"""`parley schema` prints what `protocol/schema` has."""

import json

import pytest

from tests.server.cli.conftest import Call
from tests.support.parley import ROOT


@pytest.mark.parametrize("document", ["frames", "asyncapi"])
def test_the_document_is_the_generated_one(call: Call, document: str) -> None:
    """A program can read it without the project's folder."""
    status, printed, _ = call("schema", document)
    assert status == 0
    stored = (ROOT / "protocol" / "schema" / f"{document}.json").read_text()
    assert json.loads(printed) == json.loads(stored)


def test_frames_are_meant_where_none_is_named(call: Call) -> None:
    """They are what most want."""
    assert call("schema")[1] == call("schema", "frames")[1]
