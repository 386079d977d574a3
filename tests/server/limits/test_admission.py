"""How many sockets may be open."""

from collections import Counter
from collections.abc import Callable
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode
from server.auth.principal import Kind
from server.limits.admission import Admission, NoRoom, Place
from server.limits.options import Options
from tests.support.people import person

ANN, BOB = person("ann"), person("bob")
OPTIONS = Options(
    sockets=20,
    unknown_share=0.1,
    sockets_per_address=15,
    sockets_per_person=3,
    sockets_per_tenant=5,
)


def entered(admission: Admission, peer: str = "192.0.2.1") -> Place:
    place = admission.enter(peer)
    assert isinstance(place, Place)
    return place


def refused(admission: Admission, peer: str = "192.0.2.1") -> int:
    no_room = admission.enter(peer)
    assert isinstance(no_room, NoRoom)
    assert no_room.retry_after_s > 0
    return no_room.status


async def test_one_socket_too_many_of_a_person_is_closed_and_the_others_stay() -> None:
    """Also a visitor's; somebody else has room."""
    for kind in Kind:
        admission, ann = Admission(OPTIONS), person("ann", kind=kind)
        older = [entered(admission) for _ in range(1)]
        assert [admission.seat(place, ann) for place in older] == [None]
        for _ in range(2):
            assert admission.seat(entered(admission), ann) is None
        extra = entered(admission)
        assert admission.seat(extra, ann) is CloseCode.CONNECTION_LIMIT
        admission.leave(extra)
        assert (admission.sockets, admission.unknown) == (3, 0)
        assert admission.seat(entered(admission), BOB) is None
        admission.leave(older[0])
        assert admission.seat(entered(admission), ann) is None


async def test_who_says_nothing_leaves_the_room_of_those_who_do() -> None:
    """A tenth may be open without a `hello`; each that says it makes place for another."""
    admission = Admission(OPTIONS)
    silent = [entered(admission) for _ in range(2)]
    assert refused(admission) == 503
    assert admission.seat(silent[0], ANN) is None
    admission.seat(entered(admission), BOB)
    entered(admission)
    assert refused(admission) == 503
    assert admission.unknown == 2


async def test_an_address_and_a_tenant_have_their_bounds() -> None:
    """The address is asked before the upgrade, the tenant is known only after."""
    admission = Admission(Options(sockets=100, sockets_per_address=2, sockets_per_tenant=1))
    admission.seat(entered(admission), ANN)
    other = entered(admission)
    assert refused(admission) == 429
    assert admission.seat(other, BOB) is CloseCode.CONNECTION_LIMIT
    assert admission.seat(other, person("bob", tenant="other")) is None
    entered(admission, "192.0.2.2")


async def test_a_full_process_takes_nobody() -> None:
    """From wherever."""
    admission = Admission(Options(sockets=2))
    for number in range(2):
        assert admission.seat(entered(admission), person(f"u{number}")) is None
    assert refused(admission, "192.0.2.9") == 503


async def test_a_visitor_who_becomes_a_user_is_counted_as_that() -> None:
    """In the tenant they are one as before; a user without room stays a visitor."""
    admission = Admission(Options(sockets_per_tenant=1, sockets_per_person=1))
    place = entered(admission)
    visitor = person("v", kind=Kind.VISITOR)
    assert admission.seat(place, visitor) is None
    assert admission.seat(place, ANN) is None
    assert place.principal == ANN
    wide = Admission(Options(sockets_per_person=1))
    for who in (ANN, visitor):
        place = entered(wide)
        assert wide.seat(place, who) is None
    assert wide.seat(place, ANN) is CloseCode.CONNECTION_LIMIT
    assert place.principal == visitor
    assert wide.seat(place, person("v", kind=Kind.VISITOR, name="Vi")) is None


class Time:
    """Seconds that pass when the test says so, and what is to be called in them."""

    def __init__(self) -> None:
        self.now = 100.0
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._calls.append((self.now + seconds, call))

    def until(self, moment: float) -> None:
        """All that falls due on the way is called when it does."""
        while due := [each for each in self._calls if each[0] <= moment]:
            self._calls.remove(first := min(due, key=itemgetter(0)))
            self.now = first[0]
            first[1]()
        self.now = moment


@pytest.mark.parametrize("early_s", [-0.2, 0.0, 0.2])
async def test_a_storm_comes_in_at_the_rate_and_leaves_with_a_time_to_return(
    early_s: float,
) -> None:
    """Nobody all at once; who comes when told, or a bit off that, all in the same moment, has room.

    So the line never stands still: the last is in when the rate says so.
    """
    time = Time()
    options = Options(handshakes_per_s=100, sockets_per_address=10_000, unknown_share=0.1)
    admission = Admission(options, clock=time.clock, later=time.later)
    outside, places, told = 950, list[Place](), Counter[int]()
    for _ in range(outside):
        place = admission.enter("192.0.2.1")
        if isinstance(place, Place):
            places.append(place)
        else:
            assert place.status == 503
            told[place.retry_after_s] += 1
    assert sum(place.entry is None for place in places) == 11
    assert len(places) == 11 + 150
    assert told == {1: 75, 2: 100, 3: 100, 4: 100, 5: 100, 6: 100, 7: 100, 8: 100, 9: 14}
    for second, count in sorted(told.items()):
        time.until(100 + second - early_s)
        places += [entered(admission) for _ in range(count)]
        assert all(place.entry is not None for place in places[-count:])
    time.until(100 + outside / 100 + 0.1)
    assert all(place.entry is None or place.entry.result() for place in places)
    assert admission.sockets == outside


async def test_who_waits_has_a_place_that_nobody_else_gets() -> None:
    """It is counted for its address and for all, and is free again when it vanished."""
    time = Time()
    options = Options(handshakes_per_s=2, sockets=100, sockets_per_address=2)
    admission = Admission(options, clock=time.clock, later=time.later)
    first, second = entered(admission), entered(admission)
    assert (first.entry is None, second.entry is None) == (True, False)
    assert refused(admission) == 429
    admission.leave(second)
    assert (admission.sockets, admission.unknown) == (1, 1)
    third = entered(admission)
    time.until(101)
    assert second.entry is not None
    assert not second.entry.done()
    assert admission.after(third) is None
    admission.leave(third)
    admission.leave(first)
    assert admission.sockets == 0


async def test_who_waits_is_not_among_those_who_came_in_and_say_nothing() -> None:
    """When it has its turn it is, and is refused where these are too many by then."""
    time = Time()
    options = Options(handshakes_per_s=10, sockets=20, unknown_share=0.1)  # two may say nothing
    admission = Admission(options, clock=time.clock, later=time.later)
    known, _ = entered(admission), entered(admission)
    assert admission.seat(known, ANN) is None
    first, second = entered(admission), entered(admission)
    assert (first.entry is None, second.entry is None) == (False, False)
    assert admission.unknown == 1
    time.until(time.now + 1)
    assert admission.unknown == 3
    assert admission.after(first) is not None
    admission.leave(first)
    assert admission.after(second) is None
    assert admission.unknown == 2


async def test_who_waited_is_refused_where_there_is_no_memory_any_more_or_no_turn_came() -> None:
    """With a time to come again."""
    time, pressed, crowded = Time(), [False], [False]
    admission = Admission(
        Options(handshakes_per_s=2),
        pressed=lambda: pressed[0],
        crowded=lambda: crowded[0],
        clock=time.clock,
        later=time.later,
    )
    entered(admission)
    for cause, after_s in ((pressed, 0.6), (crowded, 10)):
        place = entered(admission)
        assert place.entry is not None
        cause[0] = True
        time.until(time.now + after_s)
        no_room = admission.after(place)
        assert no_room is not None
        assert (no_room.status, no_room.retry_after_s) == (503, 1)
        admission.leave(place)
        cause[0] = False
    assert admission.sockets == 1


async def test_who_has_no_place_takes_none_in_the_rate() -> None:
    """A flood of one address is refused as that, and keeps nobody else out."""
    options = Options(handshakes_per_s=40, sockets_per_address=1)
    admission = Admission(options, clock=lambda: 100.0)
    entered(admission)
    assert {refused(admission) for _ in range(1000)} == {429}
    entered(admission, "192.0.2.2")


async def test_nobody_comes_in_while_those_before_are_not_served() -> None:
    """They are told when to come, and the sockets that are open stay."""
    crowded = [False]
    admission = Admission(OPTIONS, crowded=lambda: crowded[0])
    entered(admission)
    crowded[0] = True
    assert refused(admission) == 503
    crowded[0] = False
    entered(admission)
    assert admission.sockets == 2


async def test_without_memory_nobody_comes_in_and_all_who_are_in_stay() -> None:
    """Until there is some again."""
    pressed = [True]
    admission = Admission(OPTIONS, pressed=lambda: pressed[0])
    assert refused(admission) == 503
    pressed[0] = False
    place = entered(admission)
    pressed[0] = True
    assert admission.seat(place, ANN) is None
    assert admission.sockets == 1


_STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "seat", "leave"]), st.integers(0, 30), st.integers(0, 5)),
    max_size=200,
)


@given(_STEPS)
def test_no_bound_is_ever_passed_and_nothing_is_left_behind(
    steps: list[tuple[str, int, int]],
) -> None:
    """Whatever comes and goes, in whichever order, also twice."""
    time, places = Time(), list[Place]()
    admission = Admission(OPTIONS, clock=time.clock, later=time.later)
    for step, which, who in steps:
        if step == "enter":
            place = admission.enter(f"192.0.2.{who}")
            if isinstance(place, Place):
                places.append(place)
        elif places and step == "seat":
            admission.seat(places[which % len(places)], person(f"u{who}", tenant=f"t{who % 2}"))
        elif places:
            admission.leave(places[which % len(places)])
        assert admission.unknown <= OPTIONS.unknown_sockets
        assert admission.sockets <= OPTIONS.sockets
        assert max(admission._of_person.values(), default=0) <= OPTIONS.sockets_per_person
        assert max(admission._of_tenant.values(), default=0) <= OPTIONS.sockets_per_tenant
    for place in places:
        admission.leave(place)
    assert admission.sockets == admission.unknown == 0
    assert not admission._of_person
    assert not admission._of_tenant
    assert not admission._of_address
