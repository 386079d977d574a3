"""A body in JSON, and everything else that comes in its place."""

import asyncio
import gzip
import itertools
import time
from collections.abc import Iterable, Mapping
from typing import Annotated

import pytest
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from protocol.codes import ErrorCode
from server.auth.doors import Doors
from server.errors import ChatError
from server.http.bodies import JsonResponse, decoded, read_json, read_query
from server.http.edge import Edge
from tests.support.asgi import Answer, Client

MOST = 1000
JSON = {"content-type": "application/json"}


class Letter(Struct, forbid_unknown_fields=True):
    to: Annotated[str, Meta(max_length=8)] | None = None
    copies: Annotated[int, Meta(ge=0, le=9)] = 1


def application(within_s: float = 5.0) -> Client:
    async def take(request: Request) -> Response:
        letter = await read_json(request, Letter, most_bytes=MOST, within_s=within_s)
        return JsonResponse(letter)

    async def find(request: Request) -> Response:
        return JsonResponse(read_query(request, Letter))

    routes = [
        Route("/letters", take, methods=["POST"]),
        Route("/letters", find, methods=["GET"]),
    ]
    return Client(Edge(Router(routes, redirect_slashes=False), Doors(development=True)))


async def post(
    body: Iterable[bytes], headers: Mapping[str, str] | Iterable[tuple[str, str]] = JSON
) -> Answer:
    return await application().request("POST", "/letters", headers, body)


async def test_a_body_is_read_in_whatever_pieces_it_comes() -> None:
    """Byte by byte, empty ones between."""
    whole = b'{"to": "Ada", "copies": 2}'
    for pieces in ([whole], [whole[i : i + 1] for i in range(len(whole))], [b"", whole, b""]):
        assert (await post(pieces)).json() == {"to": "Ada", "copies": 2}


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_may_be_named_as_it_is_named_anywhere(media: str) -> None:
    """With its charset, in any case."""
    assert (await post([b"{}"], {"content-type": media})).status == 200


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
        "text/plain; application/json",
        "application/json, text/plain",
        "x" * 1000,
    ],
)
async def test_any_other_media_is_refused(media: str) -> None:
    """A page may post a form or a text to us without asking, with its cookies."""
    answer = await post([b"{}"], {"content-type": media, "cookie": "a=b"})
    assert answer.error() == (415, "unsupported_media")
    assert answer.read == 0


@pytest.mark.parametrize("begins", ["application/json", "application/json;", "application/json; "])
@pytest.mark.parametrize("goes_on", ["", "charset=utf-8"])
async def test_no_media_holds_everybody_up(begins: str, goes_on: str) -> None:
    """Blanks without end, from any stranger; the best of several, for others run too."""
    took = list[float]()
    for _ in range(3):
        started = time.thread_time()
        answer = await post([b"{}"], {"content-type": f"{begins}{goes_on}{' ' * 16_000}x"})
        took.append(time.thread_time() - started)
        assert answer.status == 415
    assert min(took) < 0.05


async def test_a_body_without_a_media_is_refused() -> None:
    """Nothing is guessed."""
    assert (await post([b"{}"], {})).error() == (415, "unsupported_media")


@pytest.mark.parametrize("encoding", ["gzip", "identity", "deflate, gzip", "x"])
async def test_a_compressed_body_is_refused_unread(encoding: str) -> None:
    """A bomb is never unpacked."""
    bomb = gzip.compress(b"0" * 1_000_000)
    answer = await post([bomb], {**JSON, "content-encoding": encoding})
    assert answer.error() == (415, "unsupported_media")
    assert answer.read == 0


async def test_a_body_without_end_is_refused_while_it_is_read() -> None:
    """What it says of its length is believed only where that is too much."""
    endless = itertools.repeat(b"x" * 100)
    for headers in (JSON, {**JSON, "content-length": "7"}, {**JSON, "content-length": "²"}):
        answer = await post(endless, headers)
        assert answer.error() == (413, "payload_too_large")
        assert answer.read <= MOST / 100 + 1
        assert str(MOST) in answer.json()["error"]["message"]


@pytest.mark.parametrize("length", [str(MOST + 1), "9" * 100, "000000000000000000000000000009999"])
async def test_a_body_that_says_it_is_too_large_is_not_read(length: str) -> None:
    """Fifty megabytes are refused before the first."""
    answer = await post([b"{}"], {**JSON, "content-length": length})
    assert answer.error() == (413, "payload_too_large")
    assert answer.read == 0


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    """And one byte more is not."""
    body = b'{"to":"Ada"}'.ljust(MOST)
    assert (await post([body])).status == 200
    assert (await post([body, b" "])).error() == (413, "payload_too_large")


async def test_a_body_that_does_not_come_in_time_is_given_up() -> None:
    """Also one that comes a byte now and then."""
    answer = await application(0.01).request("POST", "/letters", JSON, [b"{"], ends=False)
    assert answer.error() == (408, "request_timeout")
    assert answer.json()["error"]["retryable"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'""',
        b"[]",
        b"null",
        b"7",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b'{"to": "\xff"}',
        "{}".encode("utf-16"),
        "{}".encode("utf-32"),
        b'{"to": "\\ud800"}',
        b'{"to": "a", "to": "b"}',
        b'{"copies": NaN}',
        b'{"copies": ' + b"9" * 5000 + b"}",
        b'{"to": ' + b"[" * 300_000,
        b'{"to": {"a": 1, "a": 2}}',
    ],
)
def test_what_is_no_readable_object_is_bad_json(body: bytes) -> None:
    """And nothing of it is repeated."""
    with pytest.raises(ChatError) as refused:
        decoded(body, Letter)
    assert refused.value.code is ErrorCode.BAD_JSON


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"role": "system"}', "invalid_frame"),
        (b'{"to": 5}', "invalid_frame"),
        (b'{"copies": "1"}', "invalid_frame"),
        (b'{"to": "far too long"}', "invalid_field"),
        (b'{"copies": 1e9}', "invalid_field"),
        (b'{"copies": -1}', "invalid_field"),
        (b'{"copies": 1.5}', "invalid_field"),
    ],
)
async def test_a_wrong_shape_and_a_wrong_value_are_told_apart(body: bytes, code: str) -> None:
    """As on the socket."""
    status = {"invalid_frame": 400, "invalid_field": 422}[code]
    assert (await post([body])).error() == (status, code)


async def test_a_header_that_decides_may_be_there_only_once() -> None:
    """Of two, each reader could believe another."""
    twice = [("content-type", "application/json"), ("content-type", "text/plain")]
    assert (await post([b"{}"], twice)).error() == (400, "invalid_frame")
    lengths = [*JSON.items(), ("content-length", "2"), ("content-length", "3")]
    assert (await post([b"{}"], lengths)).error() == (400, "invalid_frame")


async def test_who_waits_for_a_slow_body_holds_nobody_up() -> None:
    """Another request is answered meanwhile."""
    client = application()
    slow = asyncio.create_task(
        client.request("POST", "/letters", JSON, [b"{"], ends=False, leaves=False)
    )
    assert (await client.request("POST", "/letters", JSON, [b"{}"])).status == 200
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"to": None, "copies": 1}),
        ("to=Ada&copies=2", {"to": "Ada", "copies": 2}),
        ("to=%C3%84+%26", {"to": "Ä &", "copies": 1}),
        ("to=null", {"to": "null", "copies": 1}),
        ("to=", {"to": "", "copies": 1}),
        ("to=12", {"to": "12", "copies": 1}),
    ],
)
async def test_a_query_is_read_by_the_types_of_what_it_may_hold(
    query: str, found: dict[str, object]
) -> None:
    """A text stays one, whatever it looks like."""
    assert (await application().get(f"/letters?{query}")).json() == found


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("copies=10", "invalid_field"),
        ("copies=two", "invalid_frame"),
        ("copies=5.0", "invalid_frame"),
        ("copies=05", "invalid_frame"),
        ("copies=null", "invalid_frame"),
        ("copies=", "invalid_frame"),
        ("copies=-1", "invalid_field"),
        ("copies=" + "9" * 40, "invalid_field"),
        ("to=123456789", "invalid_field"),
        ("to=a%00b", "invalid_field"),
        ("cc=Bob", "invalid_frame"),
        ("to=a&to=b", "invalid_frame"),
        ("%00=a", "invalid_frame"),
    ],
)
async def test_a_query_that_is_not_what_it_may_be_is_refused(query: str, code: str) -> None:
    """As a body is."""
    assert (await application().get(f"/letters?{query}")).error()[1] == code


async def test_what_a_query_may_hold_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than everything else that is done with a query."""
    client = application()
    await client.get("/letters?copies=2")
    monkeypatch.setattr("server.http.bodies.type_info", None)
    assert (await client.get("/letters?copies=3")).json() == {"to": None, "copies": 3}


@pytest.mark.parametrize("body", [b'{"to": "a\\u0000"}', b'{"to": "\\u0000"}'])
async def test_no_text_holds_u0000(body: bytes) -> None:
    """Which PostgreSQL does not take."""
    assert (await post([body])).error() == (422, "invalid_field")


async def test_numbers_of_extreme_size_are_few() -> None:
    """Each takes longer to read than a thousand others."""
    body = b"{" + b",".join(b'"%d":1e-999' % n for n in range(501)) + b"}"
    with pytest.raises(ChatError) as refused:
        decoded(body, Letter)
    assert refused.value.code is ErrorCode.INVALID_FIELD
