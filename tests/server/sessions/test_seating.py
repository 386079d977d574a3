"""How many sockets a person has at all instances."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from server.sessions.seating import AT_ONCE, LEASE_S, PATIENCE_S, Seating
from storage.errors import Unavailable
from storage.memory.sessions import Hall, MemorySeats
from storage.sessions import Session
from storage.values import Owner
from tests.support.waiting import until

ANN, BOB = Owner("t", "ann"), Owner("t", "bob")


class Seats(MemorySeats):
    """That may be away, and count how often they are asked."""

    def __init__(self, name: str, hall: Hall) -> None:
        super().__init__(name, hall)
        self.puts: list[int] = []
        self.away = False
        self.whole = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def put(self, here: Mapping[Owner, Sequence[Session]]) -> Mapping[Owner, int]:
        """Once the gate is open."""
        self.puts.append(len(here))
        await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        return await super().put(here)

    async def keep(self, sessions: int) -> bool:
        """Whether all is there, as the test says."""
        if self.away:
            raise Unavailable("away")
        return await super().keep(sessions) and self.whole

    async def leave(self) -> None:
        """Where it can be told."""
        if self.away:
            raise Unavailable("away")
        await super().leave()


class Instance:
    """Its seating, and how long it has waited before it refused somebody."""

    def __init__(self, name: str, street: "Street") -> None:
        self.seats = Seats(name, street.hall)
        self.seating = Seating(self.seats, sleep=self._sleep)
        self.waited: list[float] = []
        self._street = street

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self._street.now += round(seconds * 1000)
        for instance in self._street.living:
            await instance.seating.keep()


class Street:
    """Instances, and time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1
        self.hall = Hall(lambda: self.now)
        self.one, self.other = Instance("one", self), Instance("other", self)
        self.living = [self.one, self.other]


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    """Both at work."""
    street = Street()
    for instance in street.living:
        await instance.seating.keep()
    running = [asyncio.create_task(each.seating.run()) for each in street.living]
    yield street
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_person_has_so_many_sockets_at_all_instances(street: Street) -> None:
    """Who came first stays; another person is not concerned."""
    assert await street.one.seating.take("s-1", ANN, 2)
    assert await street.other.seating.take("s-2", ANN, 2)
    assert not await street.one.seating.take("s-3", ANN, 2)
    assert not await street.other.seating.take("s-4", ANN, 2)
    assert await street.other.seating.take("s-5", BOB, 2)
    assert (len(street.one.seating), len(street.other.seating)) == (1, 2)
    street.one.seating.leave("s-1")
    assert await street.other.seating.take("s-6", ANN, 2)


async def test_who_has_a_seat_keeps_it_when_asked_again(street: Street) -> None:
    """A token that is renewed makes nobody a newcomer, behind one who is waiting to be refused."""
    for number in (1, 2):
        assert await street.one.seating.take(f"s-{number}", ANN, 2)
    street.one.seats.gate.clear()
    newcomer = asyncio.create_task(street.one.seating.take("s-3", ANN, 2))
    await until(lambda: len(street.one.seating) == 3)
    assert await street.one.seating.take("s-1", ANN, 2)
    street.one.seats.gate.set()
    assert not await newcomer
    assert list(street.one.seating._owners) == ["s-1", "s-2"]


async def test_what_a_dead_instance_held_turns_nobody_away(street: Street) -> None:
    """They all come back to another one, and wait there until it is known to be dead."""
    for number in range(3):
        assert await street.one.seating.take(f"s-{number}", ANN, 3)
    street.living.remove(street.one)
    back = [street.other.seating.take(f"b-{number}", ANN, 3) for number in range(3)]
    assert await asyncio.gather(*back) == [True] * 3
    assert street.other.waited == [LEASE_S] * 3


async def test_who_comes_through_all_instances_at_once_gets_no_more(street: Street) -> None:
    """It may be fewer by some, never more."""
    instances = [street.one, street.other] * 10
    taken = await asyncio.gather(
        *[each.seating.take(f"s-{n}", ANN, 5) for n, each in enumerate(instances)]
    )
    assert sum(taken) == len(street.one.seating) + len(street.other.seating) <= 5


async def test_of_those_who_come_at_once_here_the_first_stay(street: Street) -> None:
    """As many as fit."""
    await street.other.seating.take("s-0", ANN, 3)
    comers = [street.one.seating.take(f"s-{number}", ANN, 3) for number in range(1, 5)]
    assert await asyncio.gather(*comers) == [True, True, False, False]


async def test_many_who_come_at_once_make_few_calls(street: Street) -> None:
    """Those who come while one is under way go with the next."""
    street.one.seats.gate.clear()
    first = asyncio.create_task(street.one.seating.take("s-0", ANN, 1))
    await until(lambda: street.one.seats.puts)
    comers = [
        asyncio.create_task(street.one.seating.take(f"s-{n}", Owner("t", f"u{n}"), 1))
        for n in range(1, AT_ONCE + 11)
    ]
    await asyncio.sleep(0)
    street.one.seats.gate.set()
    assert all(await asyncio.gather(first, *comers))
    assert street.one.seats.puts == [1, AT_ONCE, 10]


async def test_without_the_others_each_instance_counts_for_itself(street: Street) -> None:
    """Nobody waits for what cannot be known; later all is told, and counts again."""
    street.one.seats.away = True
    assert await street.one.seating.take("s-1", ANN, 1)
    puts = len(street.one.seats.puts)
    assert await street.one.seating.take("s-2", BOB, 1)
    await street.one.seating.keep()
    assert len(street.one.seats.puts) == puts
    street.one.seats.away = False
    await street.one.seating.keep()
    await until(lambda: len(street.one.seats.taken) == 2)
    assert not await street.other.seating.take("s-3", ANN, 1)


async def test_a_store_that_does_not_answer_holds_nobody_up(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than a second."""
    monkeypatch.setattr("server.sessions.seating.PATIENCE_S", 0.0)
    assert PATIENCE_S <= 1
    street.one.seats.gate.clear()
    assert await street.one.seating.take("s-1", ANN, 1)
    street.one.seats.gate.set()


async def test_what_the_store_lost_is_told_again(street: Street) -> None:
    """All of it."""
    for number in range(3):
        await street.one.seating.take(f"s-{number}", Owner("t", f"u{number}"), 1)
    street.one.seats.taken.clear()
    street.one.seats.whole = False
    await street.one.seating.keep()
    await until(lambda: len(street.one.seats.taken) == 3)


async def test_a_socket_may_become_somebody_elses_or_go_while_it_waits(street: Street) -> None:
    """It is counted once, and then not at all."""
    seating = street.one.seating
    assert await seating.take("s-1", ANN, 1)
    assert await seating.take("s-1", BOB, 1)
    assert len(seating) == 1
    street.one.seats.gate.clear()
    coming = asyncio.create_task(seating.take("s-2", ANN, 1))
    await until(lambda: len(seating) == 2)
    seating.leave("s-2")
    seating.leave("s-2")
    street.one.seats.gate.set()
    assert await coming
    await until(lambda: set(street.one.seats.taken) == {BOB})


async def test_an_instance_that_ends_holds_nothing(street: Street) -> None:
    """At once; where nobody hears it, its lease ends."""
    await street.one.seating.take("s-1", ANN, 1)
    await street.one.seating.close()
    assert await street.other.seating.take("s-2", ANN, 1)
    street.other.seats.away = True
    await street.other.seating.close()
