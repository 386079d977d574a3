"""Where keys come from: a setting, or what the issuer publishes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from server.auth.keys import DOCUMENT_BYTES, KeysAway, OneKey, PublishedKeys, derived, usable
from server.auth.options import Options
from tests.support import issuer

URL = "https://id.example/keys"
OPTIONS = Options()


class Issuer(httpx.AsyncBaseTransport):
    """Answers with the keys it has now, or as badly as it is told to."""

    def __init__(self) -> None:
        self.keys = [issuer.published("rsa", "r"), issuer.published("ec", "e")]
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.answer: Callable[[], httpx.Response] | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        self.asked += 1
        self.was_asked.set()
        await self.gate.wait()
        if self.answer is not None:
            return self.answer()
        return httpx.Response(200, json={"keys": self.keys})


class World:
    """Published keys, their issuer, and time that passes when the test says so."""

    def __init__(self, options: Options = OPTIONS) -> None:
        self.now = 0.0
        self.issuer = Issuer()
        self.reports: list[str] = []
        self.keys = PublishedKeys(
            URL,
            options,
            report=lambda away: self.reports.append(str(away)),
            clock=lambda: self.now,
            transport=self.issuer,
        )

    async def knows(self, id: str | None, algorithm: str = "RS256") -> bool:
        return await self.keys.find(id, algorithm) is not None


def failing(error: Exception) -> Callable[[], httpx.Response]:
    def fail() -> httpx.Response:
        raise error

    return fail


@pytest.fixture
def world() -> World:
    return World()


async def test_a_configured_key_is_found_for_its_algorithm_whatever_the_name() -> None:
    """There is nothing to choose from."""
    secret = OneKey.of_secret(issuer.SECRET)
    assert await secret.find("any", "HS256") is secret.key
    assert await secret.find(None, "RS256") is None


def test_secrets_for_different_purposes_are_different() -> None:
    """And not the secret itself."""
    assert len({issuer.SECRET, derived(issuer.SECRET, "a"), derived(issuer.SECRET, "b")}) == 3


async def test_keys_are_fetched_at_the_first_token_and_kept(world: World) -> None:
    """Each by its exact name, for its own algorithm."""
    assert await world.knows("r")
    assert await world.knows("e", "ES256")
    world.now += OPTIONS.keys_fresh_s - 1
    assert await world.knows("r")
    assert world.issuer.asked == 1


async def test_a_name_that_is_not_there_is_not_asked_for_again_and_again(world: World) -> None:
    """Once for each pause, however many tokens make names up; without a name never."""
    assert not await world.knows(None)
    assert world.issuer.asked == 0
    for wrong in [("e", "RS256"), ("r", "HS256"), *((f"made-up-{n}", "RS256") for n in range(50))]:
        assert not await world.knows(*wrong)
    assert world.issuer.asked == 1
    world.now += OPTIONS.keys_pause_s
    assert not await world.knows("made-up")
    assert not await world.knows("made-up")
    assert world.issuer.asked == 2


async def test_a_new_key_is_found_after_the_pause_at_most(world: World) -> None:
    """The issuer's rotation needs no restart of ours."""
    await world.knows("r")
    world.issuer.keys.append(issuer.published("rsa-other", "new"))
    world.now += OPTIONS.keys_pause_s
    assert await world.knows("new")


async def test_a_removed_key_is_refused_within_five_minutes(world: World) -> None:
    """Also where nobody showed a token for hours."""
    assert OPTIONS.keys_fresh_s + OPTIONS.keys_timeout_s <= 300
    for pause in (300.0, 5 * 3600.0):
        world.issuer.keys.insert(0, issuer.published("rsa", "gone"))
        world.now += 1000.0
        assert await world.knows("gone")
        del world.issuer.keys[0]
        world.now += pause
        assert not await world.knows("gone")
        assert await world.knows("e", "ES256")


BAD_ANSWERS: list[tuple[str, Callable[[], httpx.Response]]] = [
    ("no connection", failing(httpx.ConnectError("refused"))),
    ("a broken connection", failing(httpx.ReadError("reset"))),
    ("no file of certificates", failing(FileNotFoundError("ca.pem"))),
    ("a name that is none", failing(UnicodeError("label too long"))),
    ("an error", lambda: httpx.Response(500, json={"keys": []})),
    ("a redirect", lambda: httpx.Response(302, headers={"Location": "https://evil.example"})),
    ("no JSON", lambda: httpx.Response(200, content=b"<html>")),
    ("no set", lambda: httpx.Response(200, json={"key": []})),
    ("no list", lambda: httpx.Response(200, json={"keys": {"a": 1}})),
    ("bad UTF-8", lambda: httpx.Response(200, content=b'{"keys":["\xff"]}')),
    ("deep", lambda: httpx.Response(200, content=b'{"keys":' + b"[" * 100_000)),
    ("too much", lambda: httpx.Response(200, content=b" " * (DOCUMENT_BYTES + 1))),
    (
        "not what it says it is",
        lambda: httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=_Stream(b"not gzip")
        ),
    ),
]


class _Stream(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


@pytest.mark.parametrize("answer", [bad for _, bad in BAD_ANSWERS], ids=[n for n, _ in BAD_ANSWERS])
async def test_known_keys_serve_on_while_the_issuer_is_away(
    world: World, answer: Callable[[], httpx.Response]
) -> None:
    """For an hour at least; it is asked again, but not for every token, and it is reported."""
    assert await world.knows("r")
    world.issuer.answer = answer
    for _ in range(60):
        world.now += 60.0
        assert await world.knows("r")
        assert await world.knows("r")
    assert world.issuer.asked <= 61
    assert len(world.reports) == world.issuer.asked - 1
    world.now += OPTIONS.keys_stale_s
    assert not await world.knows("r")
    world.issuer.answer = None
    world.now += OPTIONS.keys_pause_s
    assert await world.knows("r")


async def test_a_set_without_keys_of_ours_takes_them_away(world: World) -> None:
    """An issuer that withdraws all its keys is believed."""
    assert await world.knows("r")
    world.issuer.keys = []
    world.now += OPTIONS.keys_fresh_s
    assert not await world.knows("r")


async def test_many_tokens_at_once_make_one_request(world: World) -> None:
    """Who asked first may even leave."""
    world.issuer.gate.clear()
    first, *others = [asyncio.create_task(world.knows("r")) for _ in range(10)]
    await world.issuer.was_asked.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.issuer.gate.set()
    assert await asyncio.gather(*others) == [True] * 9
    assert world.issuer.asked == 1


async def test_an_issuer_that_does_not_answer_is_not_waited_for() -> None:
    """Known keys would serve on; here are none yet."""
    world = World(Options(keys_timeout_s=0.1))
    world.issuer.gate.clear()
    assert not await world.knows("r")
    assert world.reports == ["no answer in 0.1 s"]


def test_of_a_document_what_fits_no_token_is_passed_over() -> None:
    """One key of another kind must not cost the others."""
    rsa: dict[str, Any] = issuer.published("rsa", "r")
    document = {
        "keys": [
            {"kty": "oct", "k": "AAAA", "kid": "secret"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {**rsa, "kid": 5},
            {name: value for name, value in rsa.items() if name != "kid"},
            rsa,
            issuer.published("rsa-other", "r"),
            issuer.published("ec", "r"),
            *(issuer.published("rsa", f"more-{n}") for n in range(100)),
        ]
    }
    found = usable(json.dumps(document).encode())
    assert {("r", "RS256"), ("r", "ES256")} <= set(found)
    assert len(found) <= 64
    token = issuer.signed(key=issuer.private_pem("rsa"), algorithm="RS256")
    assert found["r", "RS256"].verify(token)
    with pytest.raises(KeysAway):
        usable(b"[]")
