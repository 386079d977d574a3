"""Conversations themselves: made once, listed and found, changed with a commit, deleted."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Raw, structs

from protocol.types import ConversationStatus
from storage.errors import NotFound, TooMuch, TooSlow
from storage.records import Change, Changed, Edit, ListedBy, Listing, NewConversation, Regenerate
from storage.sql import Database, Row, searching
from storage.store import SEARCH_S
from storage.values import EMPTY_OBJECT, Once
from tests.support.rows import REQUEST, World

ARCHIVED = Listing(status=ConversationStatus.ARCHIVED)


async def test_a_conversation_is_made_once_per_id(world: World) -> None:
    """A hundred requests with the same id find the same conversation."""
    once, new = world.once(), NewConversation(title="t", metadata=Raw(b'{"a":1}'))
    made = await asyncio.gather(
        *(world.store.conversations.create(world.owner, once, new) for _ in range(100))
    )
    assert len({one.conversation.id for one in made}) == 1
    assert sum(one.fresh for one in made) == 1
    first = made[0].conversation
    assert (first.title, first.metadata, first.leaf) == ("t", Raw(b'{"a":1}'), None)
    assert (await world.store.conversations.list(world.owner)).total == 1


async def whole(world: World, listing: Listing, limit: int = 3) -> list[str]:
    """All pages of a list, which have to agree with each other."""
    listed: list[str] = []
    totals, after = set(), None
    while True:
        page = await world.store.conversations.list(world.owner, listing, after=after, limit=limit)
        assert len(page.items) <= limit
        totals.add(page.total)
        listed += [one.id for one in page.items]
        after = page.next
        if after is None:
            assert totals == {len(listed)}
            return listed


async def titled(world: World, title: str | None) -> str:
    """An empty conversation of that title."""
    new = NewConversation(title=title)
    return (await world.store.conversations.create(world.owner, world.once(), new)).conversation.id


async def test_where_a_list_by_title_goes_on_shows_no_title(world: World) -> None:
    """It may stand in a log; a title may not."""
    for _ in range(2):
        await titled(world, "my dog is called Wotan")
    listing = Listing(by=ListedBy.TITLE)
    page = await world.store.conversations.list(world.owner, listing, limit=1)
    assert page.next is not None
    assert "dog" not in repr(page)


async def test_conversations_are_listed_by_their_latest_change(world: World) -> None:
    """Page by page, without losing or repeating one; equal times are told apart by id."""
    sent = [await world.exchange(str(number)) for number in range(7)]
    world.clock.advance(1000)
    await world.exchange("again", conversation=sent[2].conversation)
    listed, after = [], None
    while True:
        page = await world.store.conversations.list(world.owner, after=after, limit=3)
        assert page.total == 7
        listed += [one.id for one in page.items]
        if page.next is None:
            break
        after = page.next
    rest = [one.conversation for number, one in enumerate(sent) if number != 2]
    assert listed == [sent[2].conversation, *reversed(rest)]


async def test_a_list_is_counted_for_its_first_page(world: World) -> None:
    """The rest of it knows, so that its length costs no more than once."""
    for number in range(5):
        await titled(world, f"{number}")
    first = await world.store.conversations.list(world.owner, limit=2)
    before = len(world.db.statements)
    second = await world.store.conversations.list(world.owner, after=first.next, limit=2)
    assert (first.total, second.total) == (5, 5)
    assert not any("COUNT" in each for each in world.db.statements[before:])


async def test_the_list_can_be_of_one_status(world: World) -> None:
    """And counts that status alone."""
    archived, _ = await world.exchange(), await world.exchange()
    change = Change(status=ConversationStatus.ARCHIVED)
    await world.store.conversations.change(world.owner, archived.conversation, change)
    page = await world.store.conversations.list(world.owner, ARCHIVED)
    assert ([one.id for one in page.items], page.total) == ([archived.conversation], 1)


async def test_without_a_status_archived_ones_are_left_out(world: World) -> None:
    """All others are there, whatever their status; one that is archived no more is back."""
    ids = [await titled(world, str(status)) for status in ConversationStatus]
    for id, status in zip(ids, ConversationStatus, strict=True):
        await world.store.conversations.change(world.owner, id, Change(status=status))
    archived = ids[list(ConversationStatus).index(ConversationStatus.ARCHIVED)]
    assert set(await whole(world, Listing())) == set(ids) - {archived}
    assert await whole(world, ARCHIVED) == [archived]
    back = Change(status=ConversationStatus.ACTIVE)
    await world.store.conversations.change(world.owner, archived, back)
    assert set(await whole(world, Listing())) == set(ids)


TITLES = ["Zebra", "apple", "Äpfel", "apple", None, "10", "9", "ärger", "_", "Banana", "😀", "ｆ"]


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 100])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("by", ListedBy)
async def test_pages_of_any_order_have_each_once(
    world: World, by: ListedBy, *, descending: bool, limit: int
) -> None:
    """Equal places are told apart by ids; ASCII letters of a title count without their case."""
    made = []
    for number, title in enumerate(TITLES):
        world.clock.advance(number % 2)  # so that some are of the same moment
        made.append((await titled(world, title), title, world.clock.now))
    world.clock.advance(5)
    changed = {made[3][0]: 1, made[0][0]: 2}
    for id in changed:
        world.clock.advance(1)
        await world.store.conversations.change(world.owner, id, Change(summary="s"))
    lower = {id: (title or "").encode().lower() for id, title, _ in made}
    places: dict[ListedBy, Callable[[tuple[str, str | None, int]], Any]] = {
        ListedBy.TITLE: lambda one: lower[one[0]],
        ListedBy.CREATED_AT: lambda one: one[2],
        ListedBy.UPDATED_AT: lambda one: (changed.get(one[0], 0), one[2]),
    }
    order = sorted(made, key=lambda one: (places[by](one), one[0]), reverse=descending)
    listed = await whole(world, Listing(by=by, descending=descending), limit)
    assert listed == [one[0] for one in order]


async def test_what_is_deleted_between_pages_makes_nobody_else_missing(world: World) -> None:
    """A page begins behind a place, not behind a number of rows or a row that must be there."""
    ids = [await titled(world, f"{number}") for number in range(6)]
    listing = Listing(by=ListedBy.TITLE, descending=False)
    first = await world.store.conversations.list(world.owner, listing, limit=3)
    for id in ids[1:3]:
        await world.store.conversations.delete(world.owner, id)
    rest = await world.store.conversations.list(world.owner, listing, after=first.next, limit=3)
    assert [one.id for one in rest.items] == ids[3:]


TEXT = (
    "50% of C:\\TEMP_1 [a-z]*? ^x$ (Ärger) 'q' \"Q\" Σίσυφος ПРИВЕТ ßtraße ΐ 😀 İi 한국어"
    " e\u0301\nend"
)
FOUND = [
    *("ärger", "ÄRGER", "σίσυφος", "ΣΊΣΥΦΟΣ", "привет", "ẞTRAẞE", "😀", "한국", "E\u0301"),
    *("50%", "%", "temp_1", "[A-Z]", "*", "*?", "C:\\t", "^X$", "(ärger)", "'Q'", '"q"'),
    *("x$ (", "\nEND", "\\", "]", "]*", "-", "İ", "\u1fd3"),
]
NOT_FOUND = [
    *("argEr", "strasse", "é", "50_", "temp%1", "[a-y]", "a*e", "^50", "end$"),
    *("q' OR '1'='1", "e nd", ".", "|", "ı", "z{2}"),
]


@pytest.mark.parametrize("where", ["title", "question", "answer"])
async def test_a_text_is_found_in_titles_and_messages_whatever_its_case(
    world: World, where: str
) -> None:
    """As it is written otherwise, on every engine alike; no character has a meaning of its own."""
    exchange = await world.exchange(
        content=TEXT if where == "question" else "hello", text=TEXT if where == "answer" else "hi"
    )
    await titled(world, "another")
    if where == "title":
        change = Change(title=TEXT)
        await world.store.conversations.change(world.owner, exchange.conversation, change)
    for text in FOUND:
        assert await whole(world, Listing(text=text)) == [exchange.conversation], text
    for text in NOT_FOUND:
        assert await whole(world, Listing(text=text)) == [], text


async def test_a_text_is_found_on_every_branch_and_only_in_the_owners_own(world: World) -> None:
    """And counts with the other filters; what was deleted is found no more."""
    first = await world.exchange("an old question")
    edit = Edit(
        once=world.once(), request=REQUEST, max_queued=3, message=first.message, content="a new one"
    )
    await world.store.sending.edit(world.owner, edit)
    found = Listing(text="OLD QUEST")
    assert await whole(world, found) == [first.conversation]
    assert await whole(world, structs.replace(found, status=ConversationStatus.ARCHIVED)) == []
    for stranger in (world.neighbour, world.foreigner):
        assert (await world.store.conversations.list(stranger, found)).total == 0
    await world.store.conversations.delete(world.owner, first.conversation)
    assert await whole(world, found) == []


async def test_pages_of_what_was_found_have_each_once(world: World) -> None:
    """In any order, as without a text."""
    ids = {await titled(world, f"Found {number}") for number in range(7)}
    for _ in range(3):
        await titled(world, "other")
    for by in ListedBy:
        listed = await whole(world, Listing(text="fOUND", by=by))
        assert len(listed) == 7
        assert set(listed) == ids


async def test_a_text_is_looked_for_in_what_changed_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the longest list costs no more than that."""
    monkeypatch.setattr(searching, "SEARCHED", 2)
    ids = []
    for _ in range(3):
        world.clock.advance(1)
        ids.append(await titled(world, "the same"))
    assert await whole(world, Listing(text="same")) == ids[:0:-1]


async def test_a_search_looks_at_the_newest_first_until_its_time_is_spent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it found by then is the answer; where that is nothing, it says that it is too much."""
    ids = []
    for _ in range(4):
        world.clock.advance(1)
        ids.append(await titled(world, "the same"))
    found, moment = Listing(text="same"), 0.0

    def now() -> float:
        nonlocal moment
        moment += SEARCH_S / 2
        return moment

    monkeypatch.setattr(searching, "TOGETHER", 1)
    monkeypatch.setattr(searching, "monotonic", now)
    assert await whole(world, found) == ids[:1:-1]
    monkeypatch.setattr(searching, "SEARCH_S", -1.0)
    with pytest.raises(TooMuch):
        await world.store.conversations.list(world.owner, found)
    monkeypatch.setattr(searching, "SEARCHED", 0)
    assert await whole(world, found) == []


async def test_conversations_that_take_too_long_hide_no_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are passed over; if nothing is found elsewhere, that is said."""
    ids = []
    for title in ("a needle", "slow", "a needle"):
        world.clock.advance(1)
        ids.append(await titled(world, title))
    among = searching._among

    async def slow(db: Database, text: str, lately: Sequence[Row]) -> list[str]:
        if ids[1] in [row["id"] for row in lately]:
            raise TooSlow
        return await among(db, text, lately)

    monkeypatch.setattr(searching, "TOGETHER", 1)
    monkeypatch.setattr(searching, "_among", slow)
    assert await whole(world, Listing(text="needle")) == [ids[2], ids[0]]
    with pytest.raises(TooMuch):
        await world.store.conversations.list(world.owner, Listing(text="nothing"))


def test_every_character_is_found_by_all_that_differ_from_it_by_case_alone() -> None:
    """As Unicode folds them; the list of further forms lacks none, and has none in vain."""
    alike: dict[str, set[str]] = defaultdict(set)
    for number in range(0x20000):  # no script above has two cases
        if not 0xD800 <= number < 0xE000:
            alike[chr(number).casefold()].add(chr(number))
    for same in alike.values():
        for each in same if len(same) > 1 else ():
            assert set(searching.forms(each)) == same


async def test_a_conversation_shows_the_beginning_of_its_newest_text(world: World) -> None:
    """While the answer is empty, that is the question."""
    sent, held = await world.running("x" * 300)
    get = world.store.conversations.get
    assert (await get(world.owner, sent.conversation)).last_message == "x" * 200
    await world.end(held, "y")
    assert (await get(world.owner, sent.conversation)).last_message == "y"


async def test_a_change_touches_what_is_given_and_is_told(world: World) -> None:
    """Everything else stays; the log learns of it by a commit."""
    sent = await world.exchange()
    change = world.store.conversations.change
    await change(world.owner, sent.conversation, Change(title="a", summary="s"))
    changed = (
        await change(world.owner, sent.conversation, Change(title="b", metadata=REQUEST))
    ).after
    assert (changed.title, changed.summary, changed.metadata) == ("b", "s", REQUEST)
    assert changed.status is ConversationStatus.ACTIVE
    assert await world.numbers(sent.conversation) == [1, 2, 3, 4, 5]


async def test_what_is_not_set_stays_and_none_takes_it_away(world: World) -> None:
    """With nothing set there is no change, and nothing to tell."""
    new = NewConversation(title="t", model="m", system_prompt="p", collection="c", metadata=REQUEST)
    made = (await world.store.conversations.create(world.owner, world.once(), new)).conversation
    change = world.store.conversations.change
    world.clock.advance(7)
    same = Change(title="t", status=ConversationStatus.ACTIVE, metadata=Raw(bytes(REQUEST)))
    for nothing in (Change(), same):
        assert await change(world.owner, made.id, nothing) == Changed(made, made)
    assert await world.numbers(made.id) == []
    nothing = Change(
        title=None, model=None, system_prompt=None, collection=None, metadata=EMPTY_OBJECT
    )
    changed = await change(world.owner, made.id, nothing)
    assert changed.before == made
    cleared = changed.after
    bare = {"title": None, "model": None, "system_prompt": None, "collection": None}
    at = made.updated_at + 7
    assert cleared == structs.replace(made, **bare, metadata=EMPTY_OBJECT, updated_at=at)
    assert await world.numbers(made.id) == [1]


async def test_selecting_a_branch_makes_it_the_active_one(world: World) -> None:
    """The next message continues it; the choice is told once."""
    first = await world.exchange()
    regenerate = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    second = await world.store.sending.regenerate(world.owner, regenerate)
    once, select = world.once(), world.store.conversations.select
    for _ in range(2):
        chosen = await select(world.owner, once, first.conversation, first.answer)
        assert chosen.leaf == first.answer
    assert await world.numbers(first.conversation) == [1, 2, 3, 4, 5]
    third = await world.send(conversation=first.conversation)
    assert (await world.store.history.message(world.owner, third.message)).parent == first.answer
    assert third.queued == 1
    assert second.answer != third.answer


async def test_a_message_within_a_branch_stands_for_its_newest_leaf(world: World) -> None:
    """Choosing an earlier answer brings back what was said below it, not an end in its middle."""
    first = await world.exchange()
    below = await world.exchange(conversation=first.conversation)
    regenerate = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=below.answer)
    newer = await world.store.sending.regenerate(world.owner, regenerate)
    again = Regenerate(once=world.once(), request=REQUEST, max_queued=3, answer=first.answer)
    latest = await world.store.sending.regenerate(world.owner, again)
    select = world.store.conversations.select
    chosen = await select(world.owner, world.once(), first.conversation, first.answer)
    assert chosen.leaf == newer.answer
    chosen = await select(world.owner, world.once(), first.conversation, first.message)
    assert chosen.leaf == latest.answer


async def test_a_choice_that_is_repeated_stands_though_its_conversation_is_gone(
    world: World,
) -> None:
    """The first answer was lost; a new choice finds no such place."""
    sent = await world.exchange()
    once, select = world.once(), world.store.conversations.select
    first = await select(world.owner, once, sent.conversation, sent.answer)
    await world.store.conversations.delete(world.owner, sent.conversation)
    assert (await select(world.owner, once, sent.conversation, sent.answer)).id == first.id
    with pytest.raises(NotFound):
        await select(world.owner, world.once(), sent.conversation, sent.answer)


async def test_selecting_the_active_leaf_tells_nothing(world: World) -> None:
    """There is no change."""
    sent = await world.exchange()
    await world.store.conversations.select(
        world.owner, world.once(), sent.conversation, sent.answer
    )
    assert await world.numbers(sent.conversation) == [1, 2, 3]


async def test_a_leaf_must_be_of_the_conversation(world: World) -> None:
    """A refused choice leaves its id unused."""
    here, there = await world.exchange(), await world.exchange()
    once = Once("mine", "body")
    with pytest.raises(NotFound, match=there.answer):
        await world.store.conversations.select(world.owner, once, here.conversation, there.answer)
    await world.store.conversations.select(world.owner, once, here.conversation, here.message)


async def test_a_deleted_conversation_is_gone_for_its_owner(world: World) -> None:
    """From lists and by its id, and a second time there is nothing to delete."""
    sent = await world.exchange()
    before = await world.store.conversations.get(world.owner, sent.conversation)
    deleted = await world.store.conversations.delete(world.owner, sent.conversation)
    assert deleted.conversation == before
    assert (await world.store.conversations.list(world.owner)).total == 0
    with pytest.raises(NotFound):
        await world.store.conversations.delete(world.owner, sent.conversation)
