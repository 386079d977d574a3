"""That nobody's requests keep out others'."""

import asyncio

from server.limits.shares import Shares
from storage.values import Owner

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")


async def test_so_many_of_one_person_are_done_at_a_time() -> None:
    """The others in their order; who fails or is cancelled keeps no place."""
    shares, gate = Shares(2), asyncio.Event()
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
