"""Frames find their conversation, and `hello` says as much as it has room for."""

import pytest

from protocol.codec import CODECS, JSON, Codec, Unknown
from protocol.following import Following, OfConversation, greeting
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import GREETING_FRAME_BYTES
from protocol.replica import Effect
from protocol.types import AnswerState, Position
from tests.protocol.room import Room


def take(following: Following, frames: list[s.ServerFrame]) -> list[Effect]:
    effects = []
    for frame in frames:
        assert isinstance(frame, s.Attached | s.Logged)
        effects.append(following.take(frame)[1])
    return effects


def followed(*names: str) -> tuple[Following, dict[str, Room]]:
    """Conversations with an answer each, and a level replica of each."""
    following, rooms = Following(), {name: Room(name, f"{name}-") for name in names}
    for name, room in rooms.items():
        following.begin(name)
        take(following, room.snapshot())
        room.say("Hello")
        take(following, room.since(0))
    return following, rooms


def test_a_chunk_goes_where_its_answer_is() -> None:
    """It names no conversation; its answer's `message` did."""
    following, rooms = followed("c", "d")
    chunk = rooms["d"].chunk("d-2", "x")
    assert following.take(chunk) == ("d", Effect.APPLIED)
    assert following.replicas["c"].position == Position("e1", 2)
    assert following.replicas["d"].position == Position("e1", 3)


def test_a_snapshot_tells_whose_its_answers_are_the_ended_ones_too() -> None:
    """A late chunk of an answer that the snapshot shows as ended still counts."""
    room = Room()
    ended = room.say("One")
    before = len(room.log)
    room.chunk(ended, "x")
    room.complete(ended)
    running = room.say("Two", ended)
    following = Following()
    following.begin("c")
    take(following, room.snapshot(before))
    effects = take(following, room.since(before))
    assert effects == [Effect.IGNORED, Effect.IGNORED, Effect.APPLIED, Effect.APPLIED]
    assert following.take(room.chunk(running, "y")) == ("c", Effect.APPLIED)


def test_a_status_tells_whose_an_answer_is() -> None:
    """Also of an answer that no row here names."""
    following, _ = followed("c")
    generating = AnswerState.GENERATING
    known = s.Status(seq=3, conversation="c", answer="other", attempt=1, state=generating)
    assert following.take(known) == ("c", Effect.IGNORED)
    assert following.take(s.Chunk(seq=4, answer="other", offset=0, text="x")) == (
        "c",
        Effect.IGNORED,
    )
    assert following.replicas["c"].position == Position("e1", 4)


def test_what_belongs_nowhere_is_ignored() -> None:
    """A chunk of nobody, another's frame, an unknown frame that names nothing."""
    following, _ = followed("c")
    strays: list[OfConversation] = [
        s.Chunk(seq=3, answer="nobody", offset=0, text="x"),
        s.FeedbackGiven(seq=3, conversation="x", message="m", rating="up"),
        Unknown("sparkle", None, 3),
    ]
    assert [following.take(frame)[1] for frame in strays] == [Effect.IGNORED] * 3
    assert following.replicas["c"].position == Position("e1", 2)


def test_a_change_of_the_conversation_is_named_by_its_object() -> None:
    """`conversation` is an object in that frame alone."""
    following, rooms = followed("c")
    rooms["c"].select("c-1")
    (frame,) = rooms["c"].log[2:]
    assert following.take(frame) == ("c", Effect.APPLIED)
    assert following.replicas["c"].leaf == "c-1"


def test_a_new_conversation_is_followed_from_the_position_of_its_ack() -> None:
    """Nothing is missing before it, so it is level at once."""
    following = Following()
    following.begin("n", at=Position("e1", 0))
    assert following.attach("n") == c.Attach(conversation="n", epoch="e1", seq=0)
    assert following.replicas["n"].level


def test_ending_forgets_the_answers_too() -> None:
    """Their late frames belong nowhere."""
    following, rooms = followed("c")
    assert following.end("c")
    assert not following.end("c")
    assert following.take(rooms["c"].chunk("c-2", "x")) == ("", Effect.IGNORED)
    assert len(following) == 0


def test_the_newest_comes_first_with_its_position_or_the_history_wanted() -> None:
    """It is the likeliest to be looked at."""
    following, _ = followed("c")
    following.begin("d", history=10)
    following.lost()
    assert following.attaches() == [
        c.Attach(conversation="d", history=10),
        c.Attach(conversation="c", epoch="e1", seq=2),
    ]


@pytest.mark.parametrize("codec", CODECS.values(), ids=str)
@pytest.mark.parametrize("token", ["t", "t" * 3000, "é" * 1500])
def test_hello_has_as_many_attachments_as_fit_its_cap(codec: Codec, token: str) -> None:
    """And not one less than three short of what would: the estimate is nearly exact."""
    attaches = [
        c.Attach(conversation=f"{n:064}", epoch="e" * 64, seq=2**53 - 1, history=100)
        for n in range(60)
    ]
    hello = greeting(c.Hello(token=token), attaches, codec)
    fitting = hello.attach or []
    size = len(codec.encode(hello))
    assert size <= GREETING_FRAME_BYTES
    assert size + 3 * len(codec.encode(attaches[0])) > GREETING_FRAME_BYTES
    assert [one.conversation for one in fitting] == [
        one.conversation for one in attaches[: len(fitting)]
    ]


def test_hello_has_no_more_attachments_than_a_socket_may_follow() -> None:
    """However short they are."""
    attaches = [c.Attach(conversation=f"c{n}") for n in range(60)]
    hello = greeting(c.Hello(), attaches, JSON)
    assert len(hello.attach or []) == 50
    assert greeting(c.Hello(), [], JSON).attach is None
