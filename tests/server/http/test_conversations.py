"""Conversations over HTTP, beside sockets that are told of every change."""

import asyncio
from typing import Any

import msgspec
import pytest
from starlette.types import Message as Asgi

from protocol.codes import CloseCode
from protocol.frames.objects import Conversation, Message
from server.auth.policy import GRANTS
from server.auth.principal import Kind
from server.errors import from_storage
from server.http.conversations import EXPORT_PAGE
from server.limits.options import Options as Limits
from server.limits.rates import Rates
from storage.accounts import Tenant, User
from storage.errors import NotFound, Overloaded, StorageError, TooSlow, Unavailable
from storage.records import Edit, Sent
from tests.server.http.world import World
from tests.support.asgi import Answer
from tests.support.logs import logging_to_memory
from tests.support.rows import REQUEST
from tests.support.waiting import until

PATH = "/api/v1/conversations"
PAGE = "https://chat.example"
WITHOUT_ID = [("GET", PATH), ("POST", PATH)]
WITH_ID = [
    ("GET", "{id}"),
    ("PATCH", "{id}"),
    ("DELETE", "{id}"),
    ("GET", "{id}/messages"),
    ("GET", "{id}/export"),
    ("GET", "{id}/export?format=markdown"),
    ("POST", "{id}/feedback"),
]
STALLS = {"tokens": 2, "text": "a", "fail": "stall", "at": 1}


class Ann:
    """Somebody who asks over HTTP; her rows are those of the lobby."""

    def __init__(self, world: World, user: str = "ann", **claims: Any) -> None:
        self.world = world
        self.rows = world.lobby.world
        self.bearer = f"Bearer {world.tokens.mint(user=user, ttl_s=600, **claims)}"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request below `PATH`."""
        target = path if path.startswith("/") else f"{PATH}/{path}"
        sent = () if body is None else (msgspec.json.encode(body),)
        if sent:
            headers = {"content_type": "application/json", **headers}
        return await self.world.send(method, target, *sent, authorization=self.bearer, **headers)

    async def told(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """What a request is answered with, which must be done."""
        answer = await self.ask(method, path, body, **headers)
        assert answer.status in (200, 201), answer.body
        return answer.json()

    async def create(self, **fields: Any) -> Any:
        """A new conversation."""
        return await self.told("POST", PATH, fields)


@pytest.fixture
def ann(world: World) -> Ann:
    """A user."""
    return Ann(world)


# ── made, read, changed, deleted ─────────────────────────────────────────────────────────────────


async def test_a_conversation_is_made_and_read(ann: Ann) -> None:
    """Both times with every field that the contract promises; the wire's type reads it, too."""
    answer = await ann.ask("POST", PATH, {"title": "Über", "metadata": {"a": 1}})
    assert answer.status == 201
    made = answer.json()
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0}
    assert made.pop("created_at") == made.pop("updated_at")
    id = made.pop("id")
    assert made == {
        "title": "Über",
        "status": "active",
        "model": None,
        "metadata": {"a": 1},
        "leaf": None,
        "message_count": 0,
        "last_message": None,
        "usage": nothing,
        "cost_usd": 0.0,
    }
    read = await ann.ask("GET", id)
    assert read.json() == answer.json()
    assert read.headers["cache-control"] == "no-store"
    assert msgspec.json.decode(read.body, type=Conversation).title == "Über"


async def test_a_key_makes_one_conversation_however_often_it_is_sent(ann: Ann) -> None:
    """Of the same body; its list is told once, and with another body it is a conflict."""
    caller = await ann.world.lobby.greeted("ann")
    made = await asyncio.gather(
        *(ann.told("POST", PATH, {"title": "t"}, idempotency_key="k-1") for _ in range(5))
    )
    assert len({one["id"] for one in made}) == 1
    [told] = caller.of("conversations")
    assert (told.change, told.conversation.id) == ("created", made[0]["id"])
    other = await ann.ask("POST", PATH, {"title": "u"}, idempotency_key="k-1")
    assert other.error() == (409, "id_conflict")
    await ann.create(title="t")
    assert (await ann.told("GET", PATH))["total"] == 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 65, "é", "a\tb"])
async def test_a_key_is_an_id(ann: Ann, key: str) -> None:
    """As the wire has them."""
    answer = await ann.ask("POST", PATH, {}, idempotency_key=key)
    assert answer.error() == (422, "invalid_field")


async def test_a_change_is_told_to_followers_and_to_lists(ann: Ann) -> None:
    """The one by the log, the other to every socket of hers, and to nobody else's."""
    sent = await ann.rows.exchange()
    follower = await ann.world.lobby.greeted("ann", attach=[{"conversation": sent.conversation}])
    other = await ann.world.lobby.greeted("ann")
    bob = await ann.world.lobby.greeted("bob")
    await follower.one("attached")
    steps: list[tuple[dict[str, Any], str]] = [
        ({"title": "New"}, "updated"),
        ({"status": "archived"}, "archived"),
        ({"status": "active"}, "updated"),
        ({"metadata": {"a": True}}, "updated"),
        ({"title": None, "metadata": None}, "updated"),
    ]
    for body, change in steps:
        changed = await ann.told("PATCH", sent.conversation, body)
        wanted = {**body, "metadata": body.get("metadata", changed["metadata"]) or {}}
        assert changed.items() >= wanted.items()
        told = other.of("conversations")[-1]
        assert told.change == change
        assert msgspec.to_builtins(told.conversation).items() <= changed.items()
        logged = await follower.one("conversation", conversation=told.conversation)
        assert logged.seq
    assert len(other.of("conversations")) == len(steps)
    assert other.of("conversation") == []
    assert bob.of("conversations") == []


async def test_what_changes_nothing_tells_nothing(ann: Ann) -> None:
    """An empty object is the conversation as it is, and so is one that says what it says."""
    made = await ann.create(title="t", metadata={"b": 1, "a": 2})
    caller = await ann.world.lobby.greeted("ann")
    same = {"title": "t", "status": "active", "model": None, "metadata": {"a": 2, "b": 1}}
    for body in ({}, same):
        assert await ann.told("PATCH", made["id"], body) == made
    assert caller.of("conversations") == []


async def test_a_deleted_conversation_is_gone_and_its_answers_are_stopped(ann: Ann) -> None:
    """Running and queued; who followed is let go, and has the place for another."""
    lobby = ann.world.lobby
    follower = await lobby.greeted("ann")
    follower.chat("m-1", script=STALLS)
    ack = await follower.answer_to("m-1")
    follower.chat("m-2", conversation=ack.conversation)
    await follower.answer_to("m-2")
    await follower.one("chunk")
    answer = await ann.ask("DELETE", ack.conversation)
    assert (answer.status, answer.body) == (204, b"")
    told = await follower.one("conversations", change="deleted")
    assert told.conversation.id == ack.conversation
    assert ack.conversation not in follower.connection._following
    await until(lambda: len(lobby.ended) == 2)
    assert {line.outcome for line in lobby.ended} == {"stopped"}
    for method, path in WITH_ID:
        gone = await ann.ask(method, path.format(id=ack.conversation), _body(method, path))
        assert gone.error() == (404, "not_found"), (method, path)
    follower.say("attach", conversation=ack.conversation)
    assert (await follower.answer_to(ack.conversation)).code == "not_found"


async def test_who_missed_that_it_was_deleted_learns_it_when_a_message_is_repeated(
    ann: Ann,
) -> None:
    """The `ack` comes as it did then; nothing of what was said does, and there is no such place."""
    lobby = ann.world.lobby
    caller = await lobby.greeted("ann")
    caller.chat("m-1")
    ack = await caller.answer_to("m-1")
    await caller.complete(ack.answer)
    await ann.ask("DELETE", ack.conversation)
    late = await lobby.greeted("ann")
    late.chat("m-1")
    again = await late.answer_to("m-1")
    assert (again.answer, again.duplicate) == (ack.answer, True)
    await until(lambda: late.wire.code)
    assert (late.types, late.wire.code) == (["welcome", "ack"], CloseCode.NOT_LEVEL)
    back = await lobby.greeted("ann", attach=[{"conversation": ack.conversation}])
    assert (await back.answer_to(ack.conversation)).code == "not_found"


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


def _body(method: str, path: str) -> Any:
    if path.endswith("feedback"):
        return {"message": "m_1", "rating": "up"}
    return {} if method in ("POST", "PATCH") else None


@pytest.mark.parametrize(("method", "path"), [*WITHOUT_ID, *WITH_ID])
async def test_without_a_good_token_there_is_nothing(ann: Ann, method: str, path: str) -> None:
    """None, a bad one, or one whose sessions were ended: 401 of the contract's form."""
    target = path if path.startswith("/") else f"{PATH}/{path.format(id='c_1')}"
    for headers in ({}, {"authorization": "Bearer x.y.z"}):
        answer = await ann.world.send(method, target, **headers)
        assert answer.error() == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    accounts = ann.world.store.internal.accounts
    await accounts.put_tenant(Tenant(id="default", name="Default"))
    await accounts.put_user(User(tenant="default", id="ann"))
    await accounts.disable_user("default", "ann", disabled=True)
    await ann.world.parts.revocations.refresh()
    assert (await ann.ask(method, target)).error() == (401, "unauthenticated")


@pytest.mark.parametrize(("method", "path"), WITH_ID)
@pytest.mark.parametrize("stranger", ["bob", "foreigner"])
async def test_a_strangers_conversation_and_a_missing_one_are_the_same(
    ann: Ann, method: str, path: str, stranger: str
) -> None:
    """For another user and for a namesake of another tenant, to the byte but for the trace."""
    sent = await ann.rows.exchange()
    other = Ann(ann.world, "ann", tenant="t2") if stranger == "foreigner" else Ann(ann.world, "bob")
    said = []
    for id in (sent.conversation, "c_00000000000000000000000000", "%00", "a%20b", "x" * 65):
        answer = await other.ask(method, path.format(id=id), _body(method, path))
        assert answer.error() == (404, "not_found")
        error = answer.json()["error"]
        said.append({**error, "trace": ""})
    assert said == [said[0]] * len(said)
    assert (await ann.told("GET", sent.conversation))["message_count"] == 2


async def test_lists_and_searches_show_nothing_of_others(ann: Ann) -> None:
    """Neither items nor counts."""
    await ann.rows.exchange("needle")
    for other in (Ann(ann.world, "bob"), Ann(ann.world, "ann", tenant="t2")):
        for query in ("", "?q=needle", "?status=archived"):
            empty: dict[str, Any] = {"items": [], "next_cursor": None, "total": 0}
            assert await other.told("GET", PATH + query) == empty


@pytest.mark.parametrize("field", ["model", "system_prompt", "collection"])
async def test_how_answers_are_made_needs_a_scope(ann: Ann, field: str) -> None:
    """To say it, to change it and to take it away; the rest is everybody's."""
    narrow = Ann(ann.world, "ann", scope="chat")
    value = {"model": "offline", "system_prompt": "Be brief.", "collection": "docs"}[field]
    made = await ann.create(**{field: value})
    assert made[field] == value
    assert (await narrow.ask("POST", PATH, {field: value})).error() == (403, "forbidden")
    for body in ({field: value}, {field: None}, {"title": "x", field: value}):
        assert (await narrow.ask("PATCH", made["id"], body)).error() == (403, "forbidden")
    everybodys = {"title": "x", "status": "archived", "metadata": {"a": 1}}
    changed = await narrow.told("PATCH", made["id"], everybodys)
    assert changed.items() >= {**everybodys, field: value}.items()
    assert (await ann.told("PATCH", made["id"], {field: None})).get(field) is None


def test_a_visitor_is_somebody_with_that_scope_alone() -> None:
    """So what holds for it above holds for visitors in public."""
    assert GRANTS[Kind.VISITOR] == {"chat"}


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

REFUSED: list[tuple[str, Any, tuple[int, str]]] = [
    ("POST", {"title": ""}, (422, "invalid_field")),
    ("POST", {"title": " \t"}, (422, "invalid_field")),
    ("POST", {"title": "x" * 513}, (422, "invalid_field")),
    ("POST", {"title": "a\0b"}, (422, "invalid_field")),
    ("POST", {"title": 1}, (400, "invalid_frame")),
    ("POST", {"owner": "bob"}, (400, "invalid_frame")),
    ("POST", {"id": "c_mine"}, (400, "invalid_frame")),
    ("POST", {"status": "archived"}, (400, "invalid_frame")),
    ("POST", {"model": "nobody/knows"}, (422, "invalid_field")),
    ("POST", {"system_prompt": "ä" * 4097}, (413, "message_too_long")),
    ("POST", {"metadata": {"a": "x" * 2048}}, (422, "invalid_field")),
    ("POST", {"metadata": {"a": "\0"}}, (422, "invalid_field")),
    ("POST", {"metadata": {"a\0": 1}}, (422, "invalid_field")),
    ("POST", {"metadata": {"a": {}}}, (400, "invalid_frame")),
    ("POST", {"metadata": {f"{n}": n for n in range(65)}}, (422, "invalid_field")),
    ("POST", [], (400, "bad_json")),
    ("POST", {"title": "x" * 40_000}, (413, "payload_too_large")),
    ("PATCH", {"status": "gone"}, (422, "invalid_field")),
    ("PATCH", {"status": None}, (400, "invalid_frame")),
    ("PATCH", {"title": ""}, (422, "invalid_field")),
    ("PATCH", {"leaf": "m_1"}, (400, "invalid_frame")),
    ("PATCH", {"summary": "x"}, (400, "invalid_frame")),
    ("PATCH", {"message_count": 7}, (400, "invalid_frame")),
    ("PATCH", {"model": "nobody/knows"}, (422, "invalid_field")),
    ("PATCH", {"system_prompt": "x" * 8193}, (413, "message_too_long")),
]


@pytest.mark.parametrize(("method", "body", "error"), REFUSED)
async def test_a_body_is_what_the_contract_names_and_nothing_else(
    ann: Ann, method: str, body: Any, error: tuple[int, str]
) -> None:
    """Whatever is refused changes nothing."""
    made = await ann.create(title="t")
    answer = await ann.ask(method, made["id"] if method == "PATCH" else PATH, body)
    assert answer.error() == error
    assert (await ann.told("GET", PATH))["items"] == [made]


async def test_a_body_is_json_that_says_so(ann: Ann) -> None:
    """A page of any origin may post a form or a text."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await ann.ask("POST", PATH, {}, content_type=kind)
        assert answer.error() == (415, "unsupported_media")
    extreme = b'{"metadata":{"a":[' + b",".join([b"1e999"] * 600) + b"]}}"
    answer = await ann.world.send(
        "POST", PATH, extreme, authorization=ann.bearer, content_type="application/json"
    )
    assert answer.error() == (422, "invalid_field")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *((f"limit={bad}", "invalid_field") for bad in ("0", "101", "-1", "99999999999999999999")),
        *((f"limit={bad}", "invalid_frame") for bad in ("", "x", "1.5x", "5.0", "٣", "1%00")),
        *((f"sort={bad}", "invalid_field") for bad in ("", "id", "owner", "title;--")),
        *((f"order={bad}", "invalid_field") for bad in ("", "up", "ASC", "null")),
        *((f"status={bad}", "invalid_field") for bad in ("", "deleted", "all", "null")),
        *((f"q={bad}", "invalid_field") for bad in ("", "%20", "a%00", "x" * 201)),
        *((f"cursor={bad}", "invalid_field") for bad in ("", "x", "AAAA", "%00", "é", "x" * 9000)),
        *((bad, "invalid_frame") for bad in ("user=bob", "limit=1&limit=2", "tenant=t2")),
    ],
)
async def test_a_query_is_what_the_contract_names_and_nothing_else(
    ann: Ann, query: str, code: str
) -> None:
    """Each once, within its bounds."""
    answer = await ann.ask("GET", f"{PATH}?{query}")
    assert answer.error() == ({"invalid_field": 422, "invalid_frame": 400}[code], code)


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), *WITH_ID])
async def test_a_parameter_that_means_nothing_is_refused(ann: Ann, method: str, path: str) -> None:
    """Whoever adds one expects something of it, and nothing is done without."""
    made = await ann.create(title="t")
    target = path.format(id=made["id"])
    target += "&dry_run=1" if "?" in target else "?dry_run=1"
    answer = await ann.ask(method, target, _body(method, path))
    assert answer.error() == (400, "invalid_frame")
    assert (await ann.told("GET", PATH))["items"] == [made]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", PATH, "GET, HEAD, POST"),
        ("POST", f"{PATH}/c_1", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", f"{PATH}/c_1/messages", "GET, HEAD"),
        ("GET", f"{PATH}/c_1/feedback", "POST"),
    ],
)
async def test_a_wrong_method_is_told_all_that_there_are(
    ann: Ann, method: str, path: str, allow: str
) -> None:
    """Of one path, not of one route."""
    answer = await ann.ask(method, path)
    assert answer.error() == (405, "method_not_allowed")
    assert ", ".join(sorted(answer.headers["allow"].split(", "))) == allow


@pytest.mark.parametrize(
    ("setting", "method"), [("reads_per_minute", "GET"), ("changes_per_minute", "POST")]
)
async def test_a_person_may_ask_only_so_often(ann: Ann, setting: str, method: str) -> None:
    """Reading and changing each have a rate; others are not held up by hers."""
    limits = Limits(**{setting: 2})
    ann.world.change(limits=limits, rates=Rates(limits, clock=lambda: ann.world.now))
    for _ in range(2):
        assert (await ann.ask(method, PATH, _body(method, PATH))).status in (200, 201)
    answer = await ann.ask(method, PATH, _body(method, PATH))
    assert answer.error() == (429, "rate_limited")
    assert answer.headers["x-ratelimit-limit"] == "2"
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert answer.headers["x-ratelimit-reset"] == answer.headers["retry-after"] == "30"
    other = "POST" if method == "GET" else "GET"
    assert (await ann.ask(other, PATH, _body(other, PATH))).status in (200, 201)
    assert (await Ann(ann.world, "bob").ask(method, PATH, _body(method, PATH))).status in (200, 201)
    ann.world.now += 30
    assert (await ann.ask(method, PATH, _body(method, PATH))).status in (200, 201)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_comes_in_pages(ann: Ann) -> None:
    """Each cursor leads to the next, until there is none; totals are of all."""
    made = [(await ann.create(title=f"{n % 3}"))["id"] for n in range(7)]
    for query in (
        "",
        "&sort=created_at&order=asc",
        "&sort=title",
        "&q=1",
        "&sort=title&order=desc",
    ):
        listed, cursor, total = [], "", 0
        while True:
            page = await ann.told("GET", f"{PATH}?limit=2{query}{cursor}")
            listed += [one["id"] for one in page["items"]]
            total = page["total"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert len(listed) == total == (2 if "q=1" in query else 7)
        assert len(set(listed)) == total
        if "created_at" in query:
            assert listed == made
        if query == "&sort=title":
            assert listed[0] == made[0]


async def test_a_cursor_belongs_to_its_question(ann: Ann) -> None:
    """With another filter or order it would lead to a wrong place."""
    for n in range(3):
        await ann.create(title=f"{n}")
    page = await ann.told("GET", f"{PATH}?limit=1&q=0")
    assert page["next_cursor"] is None
    cursor = (await ann.told("GET", f"{PATH}?limit=1"))["next_cursor"]
    assert (await ann.told("GET", f"{PATH}?limit=2&cursor={cursor}"))["next_cursor"] is None
    for other in ("order=asc", "sort=title", "status=active", "q=1"):
        answer = await ann.ask("GET", f"{PATH}?limit=1&cursor={cursor}&{other}")
        assert answer.error() == (422, "invalid_field")


async def test_archived_ones_are_listed_where_they_are_asked_for(ann: Ann) -> None:
    """And nowhere else."""
    kept, gone = (await ann.create(title="a"))["id"], (await ann.create(title="b"))["id"]
    await ann.told("PATCH", gone, {"status": "archived"})
    for query, wanted in (("", kept), ("?status=archived", gone), ("?status=active", kept)):
        page = await ann.told("GET", PATH + query)
        assert ([one["id"] for one in page["items"]], page["total"]) == ([wanted], 1)


# ── messages, feedback, files ────────────────────────────────────────────────────────────────────


async def branching(ann: Ann) -> tuple[list[Sent], Sent]:
    """Three exchanges, the last of which has an edited sibling: the active one."""
    sent = [await ann.rows.exchange("q0", "a0")]
    for n in (1, 2):
        sent.append(await ann.rows.exchange(f"q{n}", f"a{n}", conversation=sent[0].conversation))
    edit = Edit(
        once=ann.rows.once(),
        request=REQUEST,
        max_queued=3,
        message=sent[2].message,
        content="q2 again",
        incarnation=await ann.rows.incarnation(),
    )
    edited = await ann.rows.store.sending.edit(ann.rows.owner, edit)
    await ann.rows.end(ann.rows.held(edited), "a2 again")
    return sent, edited


async def test_messages_come_newest_page_first_and_oldest_first_within(ann: Ann) -> None:
    """Of the active branch, of another, or above a message; each page knows the whole's length."""
    sent, edited = await branching(ann)
    id = sent[0].conversation
    path = [each for one in (*sent[:2], edited) for each in (one.message, one.answer)]
    other = [*path[:4], sent[2].message, sent[2].answer]
    for query, wanted in (
        ("", path),
        (f"leaf={sent[2].answer}", other),
        (f"before={path[3]}", path[:3]),
    ):
        for limit in (1, 4, 100):
            read: list[str] = []
            target = f"{id}/messages?limit={limit}&{query}"
            while True:
                page = await ann.told("GET", target)
                assert page["total"] == len(wanted)
                read[:0] = [one["id"] for one in page["items"]]
                if page["next_cursor"] is None:
                    break
                target = f"{id}/messages?limit={limit}&cursor={page['next_cursor']}"
            assert read == wanted
    [newest] = (await ann.told("GET", f"{id}/messages?limit=1"))["items"]
    assert newest["content"] == "a2 again"
    assert newest["outcome"] == "complete"
    assert (await ann.told("GET", f"{(await ann.create())['id']}/messages"))["total"] == 0


async def test_messages_of_another_conversation_are_not_there(ann: Ann) -> None:
    """Nor is a cursor of it good here."""
    sent, _ = await branching(ann)
    other = (await ann.create())["id"]
    for query in (f"leaf={sent[0].answer}", f"before={sent[0].answer}"):
        answer = await ann.ask("GET", f"{other}/messages?{query}")
        assert answer.error() == (404, "not_found")
    cursor = (await ann.told("GET", f"{sent[0].conversation}/messages?limit=1"))["next_cursor"]
    answer = await ann.ask("GET", f"{other}/messages?cursor={cursor}")
    assert answer.error() == (422, "invalid_field")
    answer = await ann.ask("GET", f"{sent[0].conversation}/messages?cursor={cursor}&leaf=m_1")
    assert answer.error() == (422, "invalid_field")


async def test_pages_of_long_messages_are_shorter(ann: Ann) -> None:
    """What a frame could not hold is on the next one, and nothing is missing."""
    sent = [await ann.rows.exchange("x" * 30_000, "y" * 150_000)]
    for _ in range(2):
        sent.append(
            await ann.rows.exchange("x" * 30_000, "y" * 150_000, conversation=sent[0].conversation)
        )
    read: list[str] = []
    target = f"{sent[0].conversation}/messages"
    pages = 0
    while target:
        answer = await ann.ask("GET", target)
        assert len(answer.body) < 256 * 1024
        page, pages = answer.json(), pages + 1
        read[:0] = [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        target = f"{sent[0].conversation}/messages?cursor={cursor}" if cursor else ""
    assert pages == 3
    assert read == [each for one in sent for each in (one.message, one.answer)]


async def test_an_opinion_is_saved_and_told(ann: Ann) -> None:
    """As by a socket: the same key is the same request there, too."""
    sent = await ann.rows.exchange()
    caller = await ann.world.lobby.greeted("ann", attach=[{"conversation": sent.conversation}])
    await caller.one("attached")
    body = {"message": sent.answer, "rating": 4, "comment": "good"}
    for _ in range(2):
        told = await ann.told("POST", f"{sent.conversation}/feedback", body, idempotency_key="f-1")
        assert told == {"conversation": sent.conversation, **body}
    caller.say("feedback", id="f-1", **body)
    assert not hasattr(await caller.answer_to("f-1"), "code")
    told = await caller.one("feedback")
    assert (told.message, told.rating, told.comment) == (sent.answer, 4, "good")
    other = (await ann.create())["id"]
    for path in (other, "c_00000000000000000000000000"):
        elsewhere = await ann.ask("POST", f"{path}/feedback", body, idempotency_key="f-1")
        assert elsewhere.error() == (404, "not_found")
    assert len(caller.of("feedback")) == 1
    for rating, code in (("fine", "invalid_field"), (6, "invalid_field"), (None, "invalid_frame")):
        bad = await ann.ask("POST", f"{sent.conversation}/feedback", {**body, "rating": rating})
        assert bad.error()[1] == code


async def test_an_opinion_is_of_a_message_of_that_conversation(ann: Ann) -> None:
    """Nobody's else, and not of another one of one's own."""
    here, there = await ann.rows.exchange(), await ann.rows.exchange()
    for message in (there.answer, "m_00000000000000000000000000"):
        answer = await ann.ask(
            "POST", f"{here.conversation}/feedback", {"message": message, "rating": "up"}
        )
        assert answer.error() == (404, "not_found")


async def test_a_file_has_the_whole_tree(ann: Ann) -> None:
    """Both branches, in the order they were made, as the wire has messages; however long it is."""
    sent, edited = await branching(ann)
    id = sent[0].conversation
    for n in range(EXPORT_PAGE // 2):
        await ann.rows.exchange(f"more {n}", "x", conversation=id)
    answer = await ann.ask("GET", f"{id}/export", origin=PAGE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Content-Disposition" in answer.headers["access-control-expose-headers"]
    told = answer.json()
    assert told["conversation"] == await ann.told("GET", id)
    messages = [msgspec.convert(each, type=Message) for each in told["messages"]]
    assert len(messages) == told["conversation"]["message_count"] == 8 + EXPORT_PAGE
    assert {sent[2].answer, edited.answer} <= {each.id for each in messages}
    seen: set[str | None] = {None}
    for each in messages:
        assert each.parent in seen
        seen.add(each.id)


async def test_a_file_to_read_has_the_active_branch(ann: Ann) -> None:
    """From its beginning, across the pages it is read in."""
    sent, _ = await branching(ann)
    id = sent[0].conversation
    for n in range(EXPORT_PAGE // 2):
        await ann.rows.exchange(f"more {n}", f"answer {n}", conversation=id)
    await ann.told("PATCH", id, {"title": "On *stars*"})
    answer = await ann.ask("GET", f"{id}/export?format=markdown")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    text = answer.body.decode()
    assert text.startswith("# On \\*stars\\*\n")
    said = ["q0", "a0", "q1", "a1", "q2 again", "a2 again", "more 0", "answer 0"]
    last = EXPORT_PAGE // 2 - 1
    said += [f"more {last}", f"answer {last}"]
    places = [text.index(f"\n{each}\n") for each in said]
    assert places == sorted(places)
    assert "\na2\n" not in text
    assert (await ann.ask("GET", f"{id}/export?format=pdf")).error() == (422, "invalid_field")


@pytest.mark.parametrize("kind", ["json", "markdown"])
async def test_a_file_is_not_cut_off_by_what_passes(
    ann: Ann, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A page that was refused is asked for again, also one in the midst of the file."""
    sent, _ = await branching(ann)
    target = f"{sent[0].conversation}/export?format={kind}"
    whole = await ann.ask("GET", target)
    refusals: list[StorageError] = [TooSlow(), Unavailable("away"), Overloaded("a line")]
    history = ann.world.parts.store.history
    method = "made" if kind == "json" else "branch"
    read = getattr(history, method)

    async def refused(*args: Any, **fields: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await read(*args, **fields)

    monkeypatch.setattr("server.http.conversations.EXPORT_PAUSES_S", (0, 0, 0))
    monkeypatch.setattr(history, method, refused)
    answer = await ann.ask("GET", target)
    assert (answer.body, answer.whole, refusals) == (whole.body, True, [])


@pytest.mark.parametrize("error", [Overloaded("a line"), NotFound("conversation", "c_1")])
async def test_a_file_that_cannot_be_finished_has_no_end(
    ann: Ann, monkeypatch: pytest.MonkeyPatch, error: StorageError
) -> None:
    """Who reads it sees that it was cut off, and the log says why."""
    sent, _ = await branching(ann)
    history = ann.world.parts.store.history

    async def refused(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("server.http.conversations.EXPORT_PAUSES_S", (0,))
    monkeypatch.setattr(history, "made", refused)
    with logging_to_memory() as log:
        answer = await ann.ask("GET", f"{sent[0].conversation}/export")
        [line] = log.lines()
    assert (answer.status, answer.whole) == (200, False)
    told = {"event": "an answer was cut off", "route": f"{PATH}/{{id}}/export"}
    assert line.items() >= told.items()
    assert line["code"] == from_storage(error).code.value


async def test_who_asks_for_a_files_headers_has_nothing_read(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as with the file, of which the length is not known either."""
    sent, _ = await branching(ann)
    target = f"{sent[0].conversation}/export"
    got = await ann.ask("GET", target)
    for method in ("made", "path"):
        monkeypatch.setattr(ann.world.parts.store.history, method, None)
    head = await ann.ask("HEAD", target)
    assert (head.status, head.body, head.whole) == (200, b"", True)
    traces = {"x-request-id"}
    for name in set(got.headers) - traces:
        assert head.headers[name] == got.headers[name]
    assert "content-length" not in head.headers


async def test_a_search_that_was_abandoned_in_the_line_is_not_made(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who types on leaves a request behind with every letter."""
    await ann.create(title="needle")
    monkeypatch.setattr(ann.world.parts.store.conversations, "list", None)
    headers = {"host": ann.world.host, "authorization": ann.bearer}
    client = ann.world.client
    scope = client.scope("GET", f"{PATH}?q=needle", headers)
    answered: list[Asgi] = []

    async def receive() -> Asgi:
        return {"type": "http.disconnect"}

    async def send(message: Asgi) -> None:
        answered.append(message)

    await client.app(scope, receive, send)
    assert answered == []


async def test_a_search_that_is_too_much_says_to_narrow_it(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To send it again as it is would come to the same, so that is not asked for."""
    await ann.create(title="needle")
    monkeypatch.setattr("storage.sql.searching.SEARCH_S", -1.0)
    answer = await ann.ask("GET", f"{PATH}?q=needle")
    assert answer.error() == (422, "invalid_field")
    assert "Narrow the search" in answer.json()["error"]["message"]
    assert answer.json()["error"]["retryable"] is False


async def test_a_page_of_a_site_may_use_all_of_it(ann: Ann) -> None:
    """Its preflight is answered, and it may read what comes."""
    preflight = await ann.world.send(
        "OPTIONS",
        f"{PATH}/c_1",
        origin="https://shop.example",
        access_control_request_method="PATCH",
    )
    assert preflight.status == 204
    allowed = preflight.headers["access-control-allow-methods"]
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(allowed.split(", "))
    assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
    listed = await ann.ask("GET", PATH, origin="https://shop.example")
    assert listed.headers["access-control-allow-origin"] == "https://shop.example"
    foreign = await ann.ask("GET", PATH, origin="https://evil.example")
    assert foreign.error() == (403, "forbidden")
