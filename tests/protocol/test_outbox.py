"""Requests leave in order, lane by lane, and each finds its own answer."""

from protocol.codes import ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.outbox import Outbox
from tests.protocol.examples import ack, error, fitting_answer

ONE = c.Chat(id="m-1", content="one", conversation="c")
TWO = c.Chat(id="m-2", content="two", conversation="c")
ELSEWHERE = c.Chat(id="m-3", content="three", conversation="d")
NEW = c.Chat(id="m-4", content="four")
ATTACH = c.Attach(conversation="c")
DETACH = c.Detach(conversation="c")
INF = float("inf")


def leave(outbox: Outbox, now: float = 0.0, *, starts: bool = True) -> list[c.AnyClientFrame]:
    """Send whatever may leave."""
    left: list[c.AnyClientFrame] = []
    while (request := outbox.next(now, starts=starts)) is not None:
        request.sent = request.known = True
        left.append(request.frame)
    return left


def filled(*frames: c.AnyClientFrame) -> Outbox:
    outbox = Outbox()
    for frame in frames:
        outbox.add(frame)
    return outbox


def answer(outbox: Outbox, frame: s.ServerFrame) -> None:
    request = outbox.match(frame)
    assert request is not None
    outbox.remove(request)


def test_messages_of_one_conversation_go_one_at_a_time() -> None:
    """One that is refused for now must not be overtaken; other conversations do not wait."""
    outbox = filled(ATTACH, ONE, TWO, ELSEWHERE, NEW)
    assert leave(outbox) == [ATTACH, ELSEWHERE, NEW]
    answer(outbox, fitting_answer(ATTACH))
    assert leave(outbox) == [ONE]
    first = outbox.match(error(ErrorCode.UNAVAILABLE, "m-1"))
    assert first is not None
    outbox.retry(first, 5.0)
    assert leave(outbox, 4.9) == []
    assert outbox.due(starts=True) == 5.0
    assert leave(outbox, 5.0) == [ONE]
    answer(outbox, ack(ONE))
    assert leave(outbox) == [TWO]


def test_no_reference_stands_for_two_frames_at_once() -> None:
    """`ok` and `error` name a conversation or an id, not the frame's type."""
    outbox = filled(ATTACH, DETACH, ATTACH)
    assert leave(outbox) == [ATTACH]
    answer(outbox, error(ErrorCode.NOT_FOUND, "c"))
    assert leave(outbox) == [DETACH]
    answer(outbox, s.Ok(ref="c"))
    assert leave(outbox) == [ATTACH]


def test_the_same_id_twice_has_two_answers() -> None:
    """The second request waits for the first one's answer, and gets its own."""
    outbox = filled(NEW, NEW)
    assert leave(outbox) == [NEW]
    answer(outbox, ack(NEW))
    assert leave(outbox) == [NEW]
    answer(outbox, ack(NEW, duplicate=True))
    assert len(outbox) == 0


def test_an_answer_of_another_kind_or_name_belongs_to_nobody() -> None:
    """Nor does one to a request that has not left."""
    outbox = filled(NEW)
    assert outbox.match(ack(NEW)) is None
    leave(outbox)
    strays: list[s.ServerFrame] = [
        s.Ok(ref="m-4"),
        ack(ONE),
        fitting_answer(ATTACH),
        error(ErrorCode.INTERNAL),
        s.Pong(id="m-4"),
    ]
    assert [outbox.match(stray) for stray in strays] == [None] * len(strays)
    assert outbox.match(ack(NEW)) is not None


def test_after_a_drop_requests_leave_again_and_what_was_about_the_connection_does_not() -> None:
    """The next `hello` has the token and the attachments."""
    outbox = filled(c.Auth(token="t"), ATTACH, NEW, c.Stop(answer="a"))
    leave(outbox)
    assert [request.frame for request in outbox.under_way()] == [NEW, c.Stop(answer="a")]
    outbox.lost()
    assert leave(outbox) == [NEW, c.Stop(answer="a")]


def test_what_never_left_is_told_from_what_may_have_been_taken() -> None:
    """After a drop nobody knows what became of a request that was under way."""
    outbox = filled(NEW)
    leave(outbox)
    outbox.add(ELSEWHERE)
    outbox.lost()
    assert [request.frame for request in outbox.asked() if not request.known] == [ELSEWHERE]


def test_attachments_told_in_hello_come_first_and_have_left() -> None:
    """Those it had no room for leave before anything older."""
    outbox = filled(NEW)
    outbox.greet([ATTACH], [c.Attach(conversation="d")])
    assert leave(outbox) == [c.Attach(conversation="d"), NEW]
    answer(outbox, fitting_answer(ATTACH))
    assert len(outbox) == 2


def test_while_no_answer_may_be_started_the_rest_leaves() -> None:
    """What waits keeps its lane."""
    outbox = filled(ONE, DETACH, c.Stop(answer="a"))
    assert leave(outbox, starts=False) == [c.Stop(answer="a")]
    assert outbox.due(starts=False) == INF
    assert leave(outbox) == [ONE]


def test_an_attachment_passes_messages_that_wait_and_nothing_else() -> None:
    """Once it has left, they wait for its answer; a `detach` it would undo is never passed."""
    outbox = filled(ONE, TWO)
    leave(outbox)
    outbox.add(ATTACH)
    assert leave(outbox) == []
    first = outbox.match(error(ErrorCode.BUSY, "m-1"))
    assert first is not None
    outbox.retry(first, 60.0)
    assert leave(outbox, 1.0) == [ATTACH]
    assert leave(outbox, 60.0) == []
    answer(outbox, fitting_answer(ATTACH))
    assert leave(outbox, 60.0) == [ONE]
    assert leave(filled(ONE, DETACH, ATTACH), starts=False) == []


def test_what_has_not_left_can_be_forgotten() -> None:
    """Of its kind and conversation only; what has left is still to be answered."""
    outbox = filled(ATTACH)
    leave(outbox)
    for frame in (ATTACH, c.Attach(conversation="d"), DETACH):
        outbox.add(frame)
    outbox.forget("c", c.Attach)
    assert [request.frame for request in outbox.about("c", c.Attach, c.Detach)] == [ATTACH, DETACH]
    assert len(outbox) == 3


def test_it_is_bounded_by_what_the_application_asks_alone() -> None:
    """Attachments have a bound of their own."""
    outbox = Outbox(most=2)
    for frame in (ATTACH, DETACH, NEW):
        outbox.add(frame)
    assert not outbox.full
    outbox.add(ONE)
    assert outbox.full


def test_the_repr_shows_counts_and_no_text() -> None:
    """It may stand in a log."""
    outbox = filled(NEW, ONE, TWO)
    leave(outbox)
    assert repr(outbox) == "<Outbox sent=2 waiting=1>"
