"""That nobody's requests keep out others'."""

import asyncio

import pytest

from server.limits import shares as module
from server.limits.shares import Shares
from storage.errors import Overloaded
from storage.values import Owner

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")


async def test_so_many_of_one_person_are_done_at_a_time() -> None:
    """The others in their order; who fails or is cancelled keeps no place."""
    shares, gate = Shares(2, 100), asyncio.Event()
    begun: list[int] = []

    async def work(number: int) -> None:
        async with shares.one(ANN):
            begun.append(number)
            await gate.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert begun == [0, 1]
    async with shares.one(BOB):
        assert len(shares) == 2
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.wait({tasks[0], tasks[2]})
    await asyncio.sleep(0)
    assert begun == [0, 1, 3]
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [0, 1, 3, 4]
    assert len(shares) == 0


async def test_so_many_of_all_are_done_at_a_time() -> None:
    """The others wait for their turn, however many they are."""
    shares, gate = Shares(2, 3), asyncio.Event()
    begun: list[int] = []

    async def work(number: int) -> None:
        async with shares.one(Owner("t", f"u{number}")):
            begun.append(number)
            await gate.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(100)]
    await asyncio.sleep(0)
    assert begun == [0, 1, 2]
    gate.set()
    await asyncio.gather(*tasks)
    assert begun == list(range(100))
    assert len(shares) == 0


async def test_whose_turn_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a store hangs, its askers are told; they keep no place."""
    monkeypatch.setattr(module, "WITHIN_S", 0)
    shares = Shares(1, 1)
    async with shares.one(ANN):
        with pytest.raises(Overloaded):
            async with shares.one(BOB):
                raise AssertionError("it was let in")
    async with shares.one(BOB):
        assert len(shares) == 1


async def test_nobody_stands_in_a_line_of_their_own_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a request that hangs they are refused, and the line goes on when it ends."""
    monkeypatch.setattr(module, "WITHIN_S", 0)
    shares = Shares(1, 100)
    async with shares.one(ANN):
        with pytest.raises(Overloaded):
            async with shares.one(ANN):
                raise AssertionError("it was let in")
        async with shares.one(BOB):
            pass
    async with shares.one(ANN):
        assert len(shares) == 1
    assert len(shares) == 0


async def test_it_is_crowded_while_too_many_wait_for_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who are being served do not count, nor who waits behind requests of their own."""
    monkeypatch.setattr(module, "LONG", 2)
    shares, gate = Shares(1, 1), asyncio.Event()

    async def work(owner: Owner) -> None:
        async with shares.one(owner):
            await gate.wait()

    owners = [ANN, ANN, ANN, BOB, Owner("t", "cid")]
    seen, tasks = [], []
    for owner in owners:
        tasks.append(asyncio.create_task(work(owner)))
        await asyncio.sleep(0)
        seen.append(shares.crowded)
    tasks[3].cancel()
    await asyncio.wait({tasks[3]})
    seen.append(shares.crowded)
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [*seen, shares.crowded] == [False, False, False, False, True, False, False]
