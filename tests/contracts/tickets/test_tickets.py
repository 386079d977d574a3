"""What every store of one-time values keeps to; see `storage.tickets`."""

import asyncio

import pytest

from storage.tickets import Found, Full, TicketStore
from tests.contracts.tickets.harness import Harness

LIFE_MS = 30_000
SLACK_MS = 5_000  # that a slow machine may take where clocks are real


async def put(
    store: TicketStore,
    name: bytes,
    value: bytes = b"v",
    *,
    holder: str = "ann",
    most: int = 100,
    most_of_holder: int = 100,
) -> Full | None:
    """With a life of thirty seconds."""
    return await store.put(
        name, value, holder=holder, life_ms=LIFE_MS, most=most, most_of_holder=most_of_holder
    )


def full(refused: Full | None, *, of_holder: bool, wait_ms: int) -> bool:
    """Whether it was refused for that, and names the time that is left."""
    assert refused is not None
    close = wait_ms - SLACK_MS < refused.wait_ms <= wait_ms
    return refused.of_holder is of_holder and close


async def test_a_value_is_taken_once_through_whichever_instance(harness: Harness) -> None:
    """After that it is told as used, everywhere; others stay as they are."""
    assert await put(harness.one, b"t-1", b"first") is None
    assert await put(harness.one, b"t-2", b"second") is None
    assert await harness.other.take(b"t-1") == Found(b"first")
    for store in (harness.one, harness.other):
        assert await store.take(b"t-1") == Found(b"first", used=True)
    assert await harness.one.take(b"t-2") == Found(b"second")


async def test_of_many_who_take_at_once_one_gets_it(harness: Harness) -> None:
    """The others learn that it was used."""
    await put(harness.one, b"t-1")
    stores = [harness.one, harness.other] * 25
    found = await asyncio.gather(*[store.take(b"t-1") for store in stores])
    assert sorted(each.used for each in found if each is not None) == [False] + [True] * 49


async def test_what_was_never_put_is_not_there(harness: Harness) -> None:
    """Nor under part of a name."""
    await put(harness.one, b"t-1")
    for name in (b"", b"t", b"t-11", b"T-1", b"g"):
        assert await harness.one.take(name) is None
    assert await harness.one.take(b"t-1") == Found(b"v")


async def test_a_life_ends_taken_or_not(harness: Harness) -> None:
    """Nothing is left of it then."""
    await put(harness.one, b"t-1")
    await put(harness.one, b"t-2")
    await harness.one.take(b"t-1")
    await harness.pass_time(LIFE_MS - SLACK_MS)
    assert await harness.one.take(b"t-1") == Found(b"v", used=True)
    await harness.pass_time(SLACK_MS)
    assert await harness.other.take(b"t-1") is None
    assert await harness.other.take(b"t-2") is None
    await put(harness.one, b"t-3")
    assert await harness.size() == 1


async def test_what_is_put_twice_takes_up_no_more_after_its_life(harness: Harness) -> None:
    """Whoever did not hear whether it was kept may say it again."""
    for _ in range(2):
        assert await put(harness.one, b"a-1", most_of_holder=2) is None
    assert await harness.one.take(b"a-1") == Found(b"v")
    await harness.pass_time(LIFE_MS)
    for name in (b"a-2", b"a-3"):
        assert await put(harness.other, name, most_of_holder=2) is None


async def test_a_holder_has_no_more_than_so_many(harness: Harness) -> None:
    """Who waits until their own oldest ends, or takes one, may have another."""
    await put(harness.one, b"b-1", holder="bob")
    await harness.pass_time(10_000)
    for name in (b"a-1", b"a-2"):
        assert await put(harness.one, name, most_of_holder=2) is None
        await harness.pass_time(10_000)
    refused = await put(harness.other, b"a-3", most_of_holder=2)
    assert full(refused, of_holder=True, wait_ms=10_000)
    assert await harness.other.take(b"a-3") is None
    assert await put(harness.other, b"b-2", holder="bob", most_of_holder=2) is None
    await harness.one.take(b"a-2")
    assert await put(harness.other, b"a-4", most_of_holder=2) is None
    assert await put(harness.other, b"a-5", most_of_holder=2) is not None
    await harness.pass_time(10_000)
    assert await put(harness.one, b"a-6", most_of_holder=2) is None


async def test_in_all_there_are_no_more_than_so_many(harness: Harness) -> None:
    """Used ones do not count, nor those that ended."""
    for number in range(3):
        await put(harness.one, b"t-%d" % number, holder=f"u{number}", most=3)
    refused = await put(harness.other, b"t-3", holder="u3", most=3)
    assert full(refused, of_holder=False, wait_ms=LIFE_MS)
    await harness.one.take(b"t-1")
    assert await put(harness.other, b"t-4", holder="u4", most=3) is None
    assert await put(harness.other, b"t-5", holder="u5", most=3) is not None
    await harness.pass_time(LIFE_MS)
    for number in range(6, 9):
        assert await put(harness.one, b"t-%d" % number, most=3) is None


async def test_the_latest_used_ones_are_remembered(harness: Harness) -> None:
    """As many as there may be in all, so they cannot fill the store either."""
    for number in range(5):
        await put(harness.one, b"t-%d" % number, most=2)
        await harness.one.take(b"t-%d" % number)
    await put(harness.one, b"t-5", most=2)
    assert await harness.size() == 3
    used = [await harness.one.take(b"t-%d" % number) for number in range(5)]
    assert used == [None] * 3 + [Found(b"v", used=True)] * 2


@pytest.mark.parametrize("odd", [b"", b"\0", bytes(range(256)), b"\xff\xfe", b"x" * 10_000])
async def test_names_and_values_are_any_bytes(harness: Harness, odd: bytes) -> None:
    """Nothing of them is read."""
    assert await put(harness.one, odd, odd, holder="zwölf €\0") is None
    assert await harness.other.take(odd) == Found(odd)


async def test_a_store_that_may_have_gone_back_lets_nobody_in(harness: Harness) -> None:
    """It may have forgotten that a value was taken; and it goes on with new ones."""
    await put(harness.one, b"t-1", most_of_holder=1)
    await harness.one.take(b"t-1")
    await put(harness.one, b"t-2", most_of_holder=1)
    await harness.restart()
    assert await harness.one.take(b"t-1") is None
    assert await harness.other.take(b"t-2") is None
    assert await put(harness.other, b"t-3", most_of_holder=1) is None
    assert await harness.one.take(b"t-3") == Found(b"v")


def test_no_repr_shows_a_value() -> None:
    """It speaks for somebody."""
    assert "secret" not in repr(Found(b"secret"))
