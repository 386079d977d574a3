"""The files for browsers over HTTP."""

import re
from gzip import decompress
from hashlib import sha256
from pathlib import Path

import pytest

from server.http.assets import assets, takes_gzip
from tests.server.http.world import World
from tests.support.asgi import Answer

STATIC = Path(__file__).parents[3] / "server" / "static"
KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PATHS = [f"/{path.name}" for path in sorted(STATIC.iterdir()) if path.suffix in KINDS]
PARTS = [f"/parts/{path.name}" for path in sorted(STATIC.glob("parts/*"))]
FOREIGN = "https://shop.somewhere.example"


@pytest.mark.parametrize("path", [*PATHS, *PARTS])
async def test_a_file_is_served_as_it_was_built(world: World, path: str) -> None:
    """Byte for byte, by its own type, and compressed for who takes that."""
    built = (STATIC / path[1:]).read_bytes()
    plain = await world.get(path)
    assert (plain.status, plain.body) == (200, built)
    assert plain.headers["content-type"] == KINDS[Path(path).suffix]
    assert "content-encoding" not in plain.headers
    zipped = await world.get(path, accept_encoding="br, gzip")
    assert zipped.headers["content-encoding"] == "gzip"
    assert decompress(zipped.body) == built
    for answer in (plain, zipped):
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
async def test_a_plain_name_is_asked_for_again_and_a_versioned_one_never(
    world: World, path: str
) -> None:
    """For the content behind the plain name changes with the server."""
    plain = await world.get(path)
    assert plain.headers["cache-control"] == "public, max-age=300, must-revalidate"
    versioned = await world.get(f"/{assets()[path].address}")
    assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert versioned.body == plain.body


@pytest.mark.parametrize("query", ["", "?1", "?v=another"])
async def test_a_part_is_never_asked_for_again(world: World, query: str) -> None:
    """Its name says what is in it, and whoever asks twice, with a number behind, gets the same."""
    for path in PARTS:
        assert re.fullmatch(r"/parts/[a-z]+-[0-9a-f]{12}\.js", path)
        digest = sha256((STATIC / path[1:]).read_bytes()).hexdigest()
        assert path.endswith(f"-{digest[:12]}.js")
        answer = await world.get(f"{path}{query}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_chat_asks_for_the_parts_that_are_there() -> None:
    """For each of them by the name that its content has now."""
    asked = re.findall(r"(?<=\./)parts/[\w-]+\.js", (STATIC / "widget.js").read_text("utf-8"))
    assert asked, "widget.js is of a build that had no parts"
    assert sorted(f"/{path}" for path in asked) == PARTS


async def test_a_part_of_another_version_is_not_there(world: World) -> None:
    """Nobody gets what their first file was not built with, nor keeps that it is not there."""
    for target in ("/parts/answers-0123456789ab.js", "/parts/answers.js", "/parts/", "/parts"):
        answer = await world.get(target)
        assert answer.error() == (404, "not_found")
        assert "max-age" not in answer.headers.get("cache-control", "")


@pytest.mark.parametrize("query", ["v=", "v=0123456789abcdef", "v", "x=1", "v=%00", "v=1&v=2"])
async def test_another_version_is_not_kept_under_its_name(world: World, query: str) -> None:
    """A cache would go on with what is the next version's name for this version's content."""
    answer = await world.get(f"{PATHS[0]}?{query}")
    assert answer.status == 200
    kept = "public, max-age=300, must-revalidate" if query == "x=1" else "no-store"
    assert answer.headers["cache-control"] == kept


async def test_who_has_it_gets_it_not_again(world: World) -> None:
    """A strong tag is of one encoding: each has its own, and only its own counts."""
    path = PATHS[0]
    tags = {}
    for accepted in ("identity", "gzip"):
        tags[accepted] = (await world.get(path, accept_encoding=accepted)).headers["etag"]
        assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"', tags[accepted])
        answer = await world.get(
            path, accept_encoding=accepted, if_none_match=tags[accepted], origin=FOREIGN
        )
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == tags[accepted]
        assert answer.headers["vary"] == "Accept-Encoding"
        assert "max-age" in answer.headers["cache-control"]
        assert_public(answer)
    assert tags["identity"] != tags["gzip"]
    crossed = await world.get(path, accept_encoding="gzip", if_none_match=tags["identity"])
    assert crossed.status == 200


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:9", "https://chat.example"])
async def test_every_page_may_load_it(world: World, origin: str) -> None:
    """Also one that is not let in, and a cache may give to one what another one fetched."""
    for path in [*PATHS, *PARTS]:
        for method in ("GET", "HEAD"):
            answer = await world.send(method, path, origin=origin)
            assert answer.status == 200
            assert "Origin" not in answer.headers["vary"]
            assert "access-control-expose-headers" not in answer.headers
            assert_public(answer)


async def test_a_page_that_is_not_let_in_may_load_files_and_nothing_else(world: World) -> None:
    """Neither by another method, nor what lies beside them."""
    path = PATHS[0]
    for target in ("/", "/health", f"{path}x", f"{path}/", f"/x{path}", path.upper()):
        answer = await world.get(target, origin=FOREIGN)
        assert answer.error() == (403, "forbidden")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await world.send(
            method, path, origin=FOREIGN, access_control_request_method="POST"
        )
        assert answer.error() == (405, "method_not_allowed")
        assert "access-control-allow-origin" not in answer.headers


async def test_below_the_base_path_it_is_just_as_public(world: World) -> None:
    """And where a proxy cuts that off."""
    world.change(base_path="/chat")
    for target in (f"/chat{PATHS[0]}", PATHS[0], *PARTS[:1]):
        assert_public(await world.get(target, origin=FOREIGN))


async def test_in_development_it_comes_by_this_machines_names_alone(loopback: World) -> None:
    """To whatever page: the rule on names keeps out names that an attacker binds to us."""
    assert (await loopback.get(PATHS[0], origin=FOREIGN)).status == 200
    answer = await loopback.client.get(PATHS[0], {"host": "evil.example"})
    assert answer.error() == (403, "forbidden")


async def test_nothing_else_of_the_folder_is_served(world: World) -> None:
    """Nor of any other one."""
    for target in ("/index.html", "/static/", f"/static{PATHS[0]}", "/../app.py", "/%2e%2e/app.py"):
        assert (await world.get(target)).error() == (404, "not_found")


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("*", True),
        ("gzip ; q=1.000", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
    ],
)
def test_who_takes_gzip_says_so(accepted: str, taken: bool) -> None:
    """In the ways that RFC 9110 has for it."""
    assert takes_gzip(accepted) is taken


def assert_public(answer: Answer) -> None:
    """Any page may read it, and have it as a module of its own."""
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
