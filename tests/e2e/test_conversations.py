"""Conversations over HTTP as a browser asks for them, of a server with either database."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import httpx
import pytest

from server.http import cursors
from server.http.asked import TimePlace, TitlePlace
from storage.records import ListedBy, Listing
from storage.sql import Connection, Value, open_database
from storage.sql.migrate import migrate
from storage.store import SEARCH_S
from tests.support.parley import Parley
from tests.support.rows import World

PATH = "/api/v1/conversations"
LABORIOUS = "a" * 32_000  # to look for many of its letters and another one takes 0.2 s and more
LATE_S = 6.0  # what a machine under load may need beside a search's own time


async def inserted(c: Connection, links: list[dict[str, Value]]) -> None:
    """Messages of that text."""
    await c.many(
        f"""
        INSERT INTO messages (tenant, id, conversation, parent, role, content, metadata,
            attachments, number, created_at)
        VALUES (:tenant, :id, :c, NULL, 'user', '{LABORIOUS}', '{{}}', '[]', :n, 0)
        """,
        links,
    )


async def told(world: World) -> list[str]:
    """Conversations, the newest last: an old one, those nobody can look through, a new one."""
    ids = [(await world.exchange("an old needle")).conversation]
    for _ in range(4):
        sent = await world.exchange()
        links: list[dict[str, Value]] = [
            {"tenant": world.tenant, "c": sent.conversation, "id": f"{sent.message}-{n}", "n": n}
            for n in range(10, 60)
        ]
        await world.db.real.write(partial(inserted, links=links))
        world.clock.advance(1)
        ids.append(sent.conversation)
    return [*ids, (await world.exchange("a new needle")).conversation]


class House(NamedTuple):
    """A server, and the conversations in it."""

    dialect: str
    url: str
    token: str
    ids: list[str]


class Ann:
    """A browser of hers."""

    def __init__(self, client: httpx.AsyncClient, house: House) -> None:
        self.dialect = house.dialect
        self.ids = house.ids
        self.ask = client.request

    async def told(self, method: str, path: str, **fields: Any) -> Any:
        """What she asked for, which she gets."""
        answer = await self.ask(method, path, **fields)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A server that has a lot of hers."""
    parley = Parley(tmp_path_factory.mktemp("house"))
    parley.data.mkdir(mode=0o700)
    url = f"sqlite:///{parley.data}/parley.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("fresh_postgres")()
        parley.set(DATABASE_URL=url)
    ids = asyncio.run(filled(url))
    with parley.serving() as serving:
        token = parley.run("token", "--user", "ann").stdout.strip()
        yield House(request.param, serving.url, token, ids)


async def filled(url: str) -> list[str]:
    """A database in which she has said a lot."""
    db = await open_database(url)
    await migrate(db)
    ids = await told(World(db, "default"))
    await db.close()
    return ids


@pytest.fixture
async def ann(house: House) -> AsyncIterator[Ann]:
    """Her browser."""
    headers = {"authorization": f"Bearer {house.token}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60) as client:
        yield Ann(client, house)


async def test_a_search_ends_however_much_there_is_to_look_through(ann: Ann) -> None:
    """What is newest is found, and all others are served meanwhile."""
    began = monotonic()
    searching = asyncio.create_task(ann.ask("GET", f"{PATH}?q={'a' * 199}b"))
    while not searching.done():
        asked = monotonic()
        await ann.told("GET", f"{PATH}/{ann.ids[0]}")
        assert monotonic() - asked < LATE_S
    took, answer = monotonic() - began, await searching
    assert took < SEARCH_S + LATE_S
    if ann.dialect == "sqlite":
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_field")
    else:  # whose expressions take no longer for any text
        assert answer.json()["items"] == []
    found = await ann.told("GET", f"{PATH}?q=NEEDLE&sort=created_at")
    assert ann.ids[-1] in [each["id"] for each in found["items"]]


async def test_no_cursor_makes_the_server_fail(ann: Ann) -> None:
    """Whoever makes one up knows how they are made."""
    page = await ann.told("GET", f"{PATH}?limit=2&sort=title")
    whole = await ann.told("GET", f"{PATH}?limit=2&sort=title&cursor={page['next_cursor']}")
    assert (page["total"], whole["total"]) == (6, 6)
    by_title = Listing(by=ListedBy.TITLE, descending=False)
    for sort, listing in (("updated_at", Listing()), ("title", by_title)):
        for place in (
            TimePlace(7, "c_1", 1),
            TitlePlace("7", "c_1", 1),
            TitlePlace("a\0", "c_1", 1),
            TimePlace(2**63, "c_1", 1),
        ):
            cursor = cursors.spell(place, listing)
            answer = await ann.ask("GET", f"{PATH}?sort={sort}&cursor={cursor}")
            fits = isinstance(place, TitlePlace) is (sort == "title")
            sound = fits and place.place in (7, "7")
            assert answer.status_code == (200 if sound else 422), (sort, place, answer.text)


async def test_the_same_said_again_changes_nothing(ann: Ann) -> None:
    """A change, or an opinion, which is of a message of that conversation alone."""
    target = f"{PATH}/{ann.ids[0]}"
    changed = await ann.told("PATCH", target, json={"title": "t", "metadata": {"b": 1, "a": 2}})
    again = await ann.told("PATCH", target, json={"metadata": {"a": 2, "b": 1}, "title": "t"})
    assert again == changed
    [asked, _] = (await ann.told("GET", f"{target}/messages"))["items"]
    body = {"message": asked["id"], "rating": "up"}
    key = {"Idempotency-Key": "f-1"}
    for _ in range(2):
        await ann.told("POST", f"{target}/feedback", json=body, headers=key)
    other = await ann.ask("POST", f"{PATH}/{ann.ids[-1]}/feedback", json=body, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (404, "not_found")


async def test_a_file_is_whole_and_its_headers_come_alone(ann: Ann) -> None:
    """Also where its headers are all that is asked for."""
    target = f"{PATH}/{ann.ids[1]}/export"
    head, got = await ann.ask("HEAD", target), await ann.ask("GET", target)
    assert len(got.json()["messages"]) == 52
    assert head.content == b""
    assert head.headers["content-disposition"] == got.headers["content-disposition"]
    text = (await ann.ask("GET", f"{target}?format=markdown")).text
    assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["You", "Assistant"]
