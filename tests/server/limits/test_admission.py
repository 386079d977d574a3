"""How many sockets may be open."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode
from server.auth.principal import Kind
from server.limits.admission import LINE_S, Admission, Line, NoRoom, Place
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


def test_one_socket_too_many_of_a_person_is_closed_and_the_others_stay() -> None:
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


def test_who_says_nothing_leaves_the_room_of_those_who_do() -> None:
    """A tenth may be open without a `hello`; each that says it makes place for another."""
    admission = Admission(OPTIONS)
    silent = [entered(admission) for _ in range(2)]
    assert refused(admission) == 503
    assert admission.seat(silent[0], ANN) is None
    admission.seat(entered(admission), BOB)
    entered(admission)
    assert refused(admission) == 503
    assert admission.unknown == 2


def test_an_address_and_a_tenant_have_their_bounds() -> None:
    """The address is asked before the upgrade, the tenant is known only after."""
    admission = Admission(Options(sockets=100, sockets_per_address=2, sockets_per_tenant=1))
    admission.seat(entered(admission), ANN)
    other = entered(admission)
    assert refused(admission) == 429
    assert admission.seat(other, BOB) is CloseCode.CONNECTION_LIMIT
    assert admission.seat(other, person("bob", tenant="other")) is None
    entered(admission, "192.0.2.2")


def test_a_full_process_takes_nobody() -> None:
    """From wherever."""
    admission = Admission(Options(sockets=2))
    for number in range(2):
        assert admission.seat(entered(admission), person(f"u{number}")) is None
    assert refused(admission, "192.0.2.9") == 503


def test_a_visitor_who_becomes_a_user_is_counted_as_that() -> None:
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


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_storm_comes_in_at_the_rate_and_leaves_with_a_time_to_return() -> None:
    """At most so many in any second; who comes when told is let in, and nobody all at once."""
    clock = Clock()
    options = Options(handshakes_per_s=100, sockets_per_address=10_000, unknown_share=0.1)
    admission = Admission(options, clock=clock)
    outside, told = 375, dict[int, int]()
    for _ in range(outside):
        place = admission.enter("192.0.2.1")
        if isinstance(place, NoRoom):
            assert place.status == 503
            told[place.retry_after_s] = told.get(place.retry_after_s, 0) + 1
    assert admission.sockets == 25
    assert told == {1: 100, 2: 100, 3: 100, 4: 50}
    for second, count in told.items():
        for number in range(count):
            clock.now = 100 + second + number / count
            entered(admission)
    assert admission.sockets == outside


def test_who_has_no_place_takes_none_in_the_rate() -> None:
    """A flood of one address is refused as that, and keeps nobody else out."""
    clock = Clock()
    options = Options(handshakes_per_s=8, sockets_per_address=1)
    admission = Admission(options, clock=clock)
    entered(admission)
    assert {refused(admission) for _ in range(1000)} == {429}
    entered(admission, "192.0.2.2")


def test_the_line_of_those_who_were_sent_away_has_an_end() -> None:
    """However many there are, nobody is told of more, and it empties while nobody comes."""
    line = Line(0.01)
    told = [line.stand(100.0) for _ in range(10_000)]
    assert (min(told), max(told)) == (1, LINE_S)
    assert {told.count(second) for second in set(told)} <= {300, 400}
    assert line.stand(1000.0) == 1


def test_nobody_comes_in_while_those_before_are_not_served() -> None:
    """They are told when to come, and the sockets that are open stay."""
    crowded = [False]
    admission = Admission(OPTIONS, crowded=lambda: crowded[0])
    entered(admission)
    crowded[0] = True
    assert refused(admission) == 503
    crowded[0] = False
    entered(admission)
    assert admission.sockets == 2


def test_without_memory_nobody_comes_in_and_all_who_are_in_stay() -> None:
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
    admission, places = Admission(OPTIONS), list[Place]()
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
