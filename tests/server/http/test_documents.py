"""The generated documents over HTTP."""

from pathlib import Path

import pytest

from tests.server.http.world import World

SCHEMA = Path(__file__).parents[3] / "protocol" / "schema"
PATHS = {"/schema/frames.json": "frames.json", "/asyncapi.json": "asyncapi.json"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_document_is_the_generated_file(world: World, path: str) -> None:
    """Byte for byte."""
    answer = await world.get(path)
    assert answer.status == 200
    assert answer.body == (SCHEMA / PATHS[path]).read_bytes()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("spelt", ["{}", "W/{}", '"other", {}', "*"])
async def test_who_has_it_gets_it_not_again(world: World, spelt: str) -> None:
    """However the tag is spelt."""
    tag = (await world.get("/asyncapi.json")).headers["etag"]
    answer = await world.get("/asyncapi.json", if_none_match=spelt.format(tag))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == tag


@pytest.mark.parametrize("spelt", ["", '"other"', "x" * 5000, "W/", ",,,"])
async def test_who_has_another_one_gets_it(world: World, spelt: str) -> None:
    """Whatever the header holds."""
    assert (await world.get("/asyncapi.json", if_none_match=spelt)).status == 200
