"""The server's side of a connection: each rule, each clock, and nothing answered twice."""

import random
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import Fatal, Refusal
from protocol.codes import CloseCode, ErrorCode
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import CLIENT_FRAME_BYTES, GREETING_FRAME_BYTES
from protocol.session import (
    ANSWERED_BY,
    HELD_FRAMES,
    MISUSE,
    NO_EXCHANGE,
    PENDING_FRAMES,
    TRANSITIONS,
    Action,
    Close,
    Deliver,
    Event,
    LocalError,
    Probe,
    Send,
    ServerSession,
    State,
    Timing,
    reference,
)
from protocol.types import GoawayReason
from tests.protocol.examples import ack, error, fitting_answer, welcome
from tests.support.frames import client_frame

BAD_JSON = Refusal(ErrorCode.BAD_JSON, "no object")
CHAT = c.Chat(id="m-1", content="Hello")


def fresh(**timing: float) -> ServerSession:
    return ServerSession(trace="t1", now=0.0, timing=Timing(**timing))


def opened(lives_s: float | None = None, **timing: float) -> ServerSession:
    session = fresh(**timing)
    session.receive(c.Hello(), 0.0)
    session.grant(welcome(), 0.0, lives_s=lives_s)
    return session


def draining() -> ServerSession:
    session = opened()
    session.drain(GoawayReason.SHUTDOWN, 100)
    return session


def greeting() -> ServerSession:
    session = fresh()
    session.receive(c.Hello(), 0.0)
    return session


def ended() -> ServerSession:
    session = opened()
    session.closed()
    return session


IN_STATE = {
    State.NEW: fresh,
    State.GREETING: greeting,
    State.OPEN: opened,
    State.DRAINING: draining,
    State.CLOSED: ended,
}


def codes(actions: list[Action]) -> list[ErrorCode | CloseCode]:
    """The errors and closes among some actions."""
    found: list[ErrorCode | CloseCode] = []
    for action in actions:
        if isinstance(action, Send) and isinstance(action.frame, s.Error):
            found.append(action.frame.code)
        if isinstance(action, Close):
            found.append(action.code)
    return found


def exchange(actions: list[Action]) -> int:
    """The number of the only frame that was handed on."""
    (delivered,) = [action for action in actions if isinstance(action, Deliver)]
    return delivered.exchange


# The table


def test_whatever_a_peer_does_is_legal_or_has_its_price() -> None:
    """Total over (state, peer event), but for CLOSED, where nothing is said any more."""
    for state, event in product(State, (Event.HELLO, Event.FRAME, Event.REFUSED)):
        known = ((state, event) in TRANSITIONS) + ((state, event) in MISUSE)
        assert known == (state is not State.CLOSED)


def test_every_state_can_be_reached_and_left() -> None:
    """From NEW every state is reached; from each one the end is."""
    reached = {State.NEW}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
    for state in set(State) - {State.CLOSED}:
        assert TRANSITIONS[state, Event.CLOSE] is State.CLOSED
    assert all(before is not State.CLOSED for before, _ in TRANSITIONS)


@pytest.mark.parametrize("state", State)
def test_the_machine_does_what_the_table_says_of_a_peer(state: State) -> None:
    """Each peer event in each state, played."""
    events: dict[Event, Any] = {
        Event.HELLO: c.Hello(),
        Event.FRAME: c.Stop(answer="a"),
        Event.REFUSED: BAD_JSON,
    }
    for event, received in events.items():
        session = IN_STATE[state]()
        found = codes(session.receive(received, 1.0))
        cost = MISUSE.get((state, event))
        if isinstance(cost, CloseCode):
            assert (found, session.state) == ([cost], State.CLOSED)
        else:
            assert session.state is TRANSITIONS.get((state, event), state)
            assert cost is None or found == [cost]


@pytest.mark.parametrize("state", [State.NEW, State.OPEN, State.DRAINING])
def test_credentials_are_granted_to_a_greeting_alone(state: State) -> None:
    """An illegal call of our own is our fault and changes nothing."""
    session = IN_STATE[state]()
    before = repr(session)
    with pytest.raises(LocalError):
        session.grant(welcome(), 1.0, lives_s=None)
    assert repr(session) == before


def test_after_the_end_nothing_is_said() -> None:
    """Frames that crossed our close, verdicts that came too late, and a second close."""
    session = opened()
    number = exchange(session.receive(CHAT, 1.0))
    assert session.close(CloseCode.RESTART) == [Close(CloseCode.RESTART)]
    assert session.close(CloseCode.RESTART) == []
    assert session.receive(CHAT, 2.0) == []
    assert session.receive(Fatal(CloseCode.TOO_BIG), 2.0) == []
    assert session.answer(number, error(ErrorCode.INTERNAL), 2.0) == []
    assert session.grant(welcome(), 2.0, lives_s=None) == []
    assert session.drain(GoawayReason.SHUTDOWN, 0) == []
    assert session.tick(1e9) == []
    assert session.deadline == float("inf")
    assert session.unanswered == 0


# One answer to each frame


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(client_frame(), max_size=8), st.integers(0, 2**32))
def test_every_frame_but_typing_has_exactly_one_answer(frames: list[Any], seed: int) -> None:
    """Whatever is sent, in whatever order and by whichever kind it is answered."""
    session, dice = opened(), random.Random(seed)
    waiting: list[Deliver] = []
    answers = 0
    for frame in frames:
        actions = session.receive(frame, 1.0)
        (action,) = actions
        if isinstance(frame, c.Type):
            assert action == Deliver(frame, NO_EXCHANGE)
        elif isinstance(action, Deliver):
            waiting.append(action)
        else:
            assert isinstance(action, Send)
            named = action.frame.id if isinstance(action.frame, s.Pong) else action.frame.ref  # type: ignore[attr-defined] # an error
            assert named == reference(frame)
            answers += 1
        while waiting and dice.random() < 0.4:
            answers += len(_settle(session, waiting.pop(dice.randrange(len(waiting))), dice))
    dice.shuffle(waiting)
    for delivered in waiting:
        answers += len(_settle(session, delivered, dice))
    assert answers == sum(not isinstance(frame, c.Type) for frame in frames)
    assert session.unanswered == 0


def refused_as_new(session: ServerSession, frame: c.AnyClientFrame, now: float) -> list[Action]:
    """Send a frame over a limit; whoever looks its id up has never seen it."""
    (action,) = session.receive(frame, now)
    if isinstance(action, Deliver):
        assert action.unless_known is not None
        return session.refuse(action.exchange, action.unless_known, now)
    return [action]


def _settle(session: ServerSession, delivered: Deliver, dice: random.Random) -> list[Action]:
    frame = delivered.frame
    if dice.random() < 0.3:
        return session.answer(delivered.exchange, error(ErrorCode.NOT_FOUND, reference(frame)), 1.0)
    if isinstance(frame, c.Auth):
        return session.renew(delivered.exchange, s.Ok(ref="auth"), 1.0, lives_s=None)
    return session.answer(delivered.exchange, fitting_answer(frame), 1.0)


def test_a_second_answer_is_our_fault_and_changes_nothing() -> None:
    """The machine counts, so no two parts of a server can both answer."""
    session = opened()
    number = exchange(session.receive(CHAT, 1.0))
    session.answer(number, fitting_answer(CHAT), 1.0)
    before = repr(session)
    with pytest.raises(LocalError, match="answered twice"):
        session.answer(number, fitting_answer(CHAT), 1.0)
    assert repr(session) == before


@pytest.mark.parametrize("kind", [kind for kind, fit in ANSWERED_BY.items() if fit is s.Ok])
def test_an_answer_of_another_kind_is_our_fault_and_changes_nothing(kind: Any) -> None:
    """What `ok` answers, `ack` does not; the right answer is still possible."""
    texts = {"token", "conversation", "answer", "id", "leaf", "call", "args_hash", "message"}
    values: dict[str, Any] = dict.fromkeys(texts, "x") | {"allow": True, "rating": "up"}
    if kind is c.ToolResult:
        values |= {"content": "x"}
    frame = kind(**{name: values[name] for name in kind.__struct_fields__ if name in values})
    session = opened()
    number = exchange(session.receive(frame, 1.0))
    with pytest.raises(LocalError, match="does not answer"):
        session.answer(number, fitting_answer(CHAT), 1.0)
    assert session.unanswered == 1
    assert session.answer(number, fitting_answer(frame), 1.0)


@pytest.mark.parametrize(
    ("frame", "stray"),
    [
        (CHAT, ack(c.Chat(id="m-2", content="Hello"))),
        (CHAT, error(ErrorCode.NOT_FOUND)),
        (c.Attach(conversation="c"), fitting_answer(c.Attach(conversation="d"))),
        (c.Stop(answer="a"), s.Ok(ref="b")),
        (c.Auth(token="t"), error(ErrorCode.UNAUTHENTICATED, "t")),
    ],
)
def test_an_answer_that_names_another_frame_is_our_fault_too(
    frame: c.AnyClientFrame, stray: s.AnyServerFrame
) -> None:
    """Its client would not know it for its own, and wait for ever."""
    session = opened()
    number = exchange(session.receive(frame, 1.0))
    with pytest.raises(LocalError, match="names another"):
        session.answer(number, stray, 1.0)
    assert session.unanswered == 1
    assert session.answer(number, fitting_answer(frame), 1.0)


def test_only_grant_answers_hello_and_only_auth_renews() -> None:
    """Each has consequences that a plain answer would leave out."""
    session = greeting()
    with pytest.raises(LocalError, match="grant"):
        session.answer(1, welcome(), 1.0)
    session = opened(lives_s=100.0)
    number = exchange(session.receive(c.Stop(answer="a"), 1.0))
    with pytest.raises(LocalError, match="auth"):
        session.renew(number, s.Ok(ref="a"), 1.0, lives_s=None)
    assert session.unanswered == 1


def test_an_error_names_the_frame_by_its_id_else_by_what_it_is_about() -> None:
    """The order of PROTOCOL.md, section 3."""
    assert reference(CHAT) == "m-1"
    assert reference(c.Attach(conversation="c")) == "c"
    assert reference(c.Stop(answer="a")) == "a"
    assert reference(c.Auth(token="secret")) == "auth"
    assert reference(c.Ping()) is None


def test_a_ping_is_answered_by_the_machine_itself() -> None:
    """At once, whatever else waits."""
    session = opened()
    for number in range(PENDING_FRAMES):
        session.receive(c.Stop(answer=f"a{number}"), 1.0)
    assert session.receive(c.Ping(id="p"), 1.0) == [Send(s.Pong(id="p"))]
    assert codes(session.receive(CHAT, 1.0)) == [ErrorCode.OVERLOADED]
    typing = c.Type(conversation="c")
    assert session.receive(typing, 1.0) == [Deliver(typing, NO_EXCHANGE)]


# The greeting


def test_what_is_attached_in_hello_comes_before_what_was_sent_behind_it() -> None:
    """In order, after `welcome`, each with an exchange of its own."""
    session = fresh()
    attach = [c.Attachment(conversation="x", epoch="e", seq=3), c.Attachment(conversation="y")]
    session.receive(c.Hello(attach=attach), 0.0)
    assert session.receive(CHAT, 0.0) == []
    assert session.receive(c.Ping(id="p"), 0.0) == []
    assert session.grant(welcome(), 1.0, lives_s=None) == [
        Send(welcome()),
        Deliver(c.Attach(conversation="x", epoch="e", seq=3), 2),
        Deliver(c.Attach(conversation="y"), 3),
        Deliver(CHAT, 4),
        Send(s.Pong(id="p")),
    ]


def test_only_so_many_frames_are_held_before_welcome() -> None:
    """Beyond that they are refused; `typing`, which has no answer, is dropped."""
    session = greeting()
    for number in range(HELD_FRAMES):
        assert session.receive(c.Stop(answer=f"a{number}"), 0.0) == []
    assert codes(session.receive(CHAT, 0.0)) == [ErrorCode.OVERLOADED]
    assert session.receive(c.Type(conversation="c"), 0.0) == []
    actions = session.grant(welcome(), 0.0, lives_s=None)
    assert len(actions) == 1 + HELD_FRAMES


def test_a_frame_may_be_small_until_welcome_and_as_large_as_offered_after_it() -> None:
    """The cap is what the codec is to apply to the next message."""
    session = fresh()
    assert session.frame_cap == GREETING_FRAME_BYTES
    session.receive(c.Hello(), 0.0)
    assert session.frame_cap == GREETING_FRAME_BYTES
    session.grant(welcome(client_frame_bytes=10_000), 0.0, lives_s=None)
    assert session.frame_cap == 10_000
    session = greeting()
    session.grant(welcome(client_frame_bytes=10 * CLIENT_FRAME_BYTES), 0.0, lives_s=None)
    assert session.frame_cap == CLIENT_FRAME_BYTES


def test_before_welcome_a_client_cannot_declare_tools_of_its_own() -> None:
    """Nobody knows yet whether they are offered, and who is not signed in costs little memory."""
    session = greeting()
    own = c.ClientTool(name="t", description="", parameters={"a": []})
    sent = c.Chat(id="m-9", content="x", tools=[own])
    assert codes(session.receive(sent, 0.5)) == [ErrorCode.INVALID_FIELD]
    assert session.receive(c.Chat(id="m-8", content="x", tools=["clock"]), 0.5) == []


def test_a_refusal_may_name_when_to_come_back() -> None:
    """A limiter knows; the error tells the client."""
    session = opened()
    number = exchange(session.receive(CHAT, 1.0))
    refusal = Refusal(ErrorCode.RATE_LIMITED, "Wait.", CHAT.id, retry_after_ms=700)
    (sent,) = session.refuse(number, refusal, 1.0)
    assert isinstance(sent, Send)
    assert isinstance(sent.frame, s.Error)
    assert (sent.frame.retry_after_ms, sent.frame.retryable) == (700, True)


def test_what_is_not_offered_is_refused_unless_its_id_was_taken_before() -> None:
    """The offer is that of `welcome`, and may have been larger when the id was first sent."""
    session = greeting()
    session.grant(welcome(features=[], content_bytes=3), 0.0, lives_s=None)
    refused: list[tuple[c.AnyClientFrame, ErrorCode]] = [
        (CHAT, ErrorCode.MESSAGE_TOO_LONG),
        (c.Approve(id="a", call="k", args_hash="h", allow=True), ErrorCode.UNAVAILABLE),
        (c.Chat(id="b", content="x", tools=["clock"]), ErrorCode.INVALID_FIELD),
    ]
    for frame, code in refused:
        assert codes(refused_as_new(session, frame, 1.0)) == [code]
    assert session.unanswered == 0
    number = exchange(session.receive(CHAT, 1.0))
    assert session.answer(number, fitting_answer(CHAT), 1.0) == [Send(fitting_answer(CHAT))]


# The clocks


def test_a_socket_that_says_nothing_is_closed() -> None:
    """4001 after the hello's time, not before."""
    session = fresh(hello_s=5.0)
    assert session.deadline == 5.0
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [Close(CloseCode.HELLO_TIMEOUT)]


def test_credentials_that_nobody_verifies_in_time_are_overload() -> None:
    """1013: the client comes back, and waits longer each time."""
    session = fresh(verify_s=10.0, heartbeat_s=100.0)
    session.receive(c.Hello(), 1.0)
    assert session.deadline == 11.0
    assert session.tick(11.0) == [Close(CloseCode.OVERLOADED)]


def test_nobody_is_late_by_what_was_not_read_yet() -> None:
    """A ping that was due while nothing was read gives as much time as any other."""
    session = opened(heartbeat_s=25.0, pong_s=10.0)
    assert session.tick(37.0, heard_until=24.9) == [Probe()]
    assert session.tick(47.0, heard_until=46.9) == []
    assert session.tick(60.0, heard_until=47.0) == [Close(CloseCode.HEARTBEAT_LOST)]


def test_only_a_pong_shows_that_the_peer_still_listens() -> None:
    """4008, though it sends frame after frame."""
    session = opened(heartbeat_s=25.0, pong_s=10.0)
    assert session.tick(25.0) == [Probe()]
    session.receive(CHAT, 30.0)
    assert session.tick(34.9) == []
    assert session.tick(35.0) == [Close(CloseCode.HEARTBEAT_LOST)]


def test_a_pong_in_time_starts_the_next_beat() -> None:
    """And one that nobody asked for does nothing."""
    session = opened(heartbeat_s=25.0, pong_s=10.0)
    session.ponged(1.0)
    session.tick(25.0)
    session.ponged(27.0)
    assert session.deadline == 52.0
    assert session.tick(52.0) == [Probe()]


def test_silence_closes_only_where_that_is_wanted() -> None:
    """4006 after `idle_s`; 0 means never, and any frame starts it anew."""
    session = opened(idle_s=60.0, heartbeat_s=1000.0)
    session.receive(CHAT, 50.0)
    assert session.deadline == 110.0
    assert session.tick(110.0) == [Close(CloseCode.IDLE)]
    assert opened(heartbeat_s=1000.0).deadline == 1000.0


def test_a_token_is_announced_to_end_and_ends_after_its_grace() -> None:
    """`expiring` a minute before, 4002 half a minute after."""
    session = opened(lives_s=300.0, heartbeat_s=10_000.0)
    assert session.deadline == 240.0
    assert session.tick(240.0) == [Send(s.Expiring(in_s=60))]
    assert session.deadline == 330.0
    assert session.tick(330.0) == [Close(CloseCode.TOKEN_EXPIRED)]


def test_a_renewed_token_moves_its_end() -> None:
    """A refused one does not; one that never ends needs no clock."""
    session = opened(lives_s=300.0, heartbeat_s=10_000.0)
    session.tick(240.0)
    number = exchange(session.receive(c.Auth(token="bad"), 241.0))
    session.answer(number, error(ErrorCode.UNAUTHENTICATED, "auth"), 241.0)
    assert session.deadline == 330.0
    number = exchange(session.receive(c.Auth(token="good"), 250.0))
    ok = s.Ok(ref="auth")
    assert session.renew(number, ok, 250.0, lives_s=100.0) == [Send(ok)]
    assert session.deadline == 290.0
    number = exchange(session.receive(c.Auth(token="eternal"), 260.0))
    session.renew(number, ok, 260.0, lives_s=None)
    assert session.deadline == 10_000.0


def test_a_late_tick_does_all_that_is_due() -> None:
    """A loop that was held up neither skips a duty nor sends a stale one."""
    session = opened(lives_s=300.0, heartbeat_s=25.0)
    assert session.tick(250.0) == [Send(s.Expiring(in_s=50)), Probe()]
    assert session.deadline == 260.0


# Limits that end a connection


def test_the_fifth_unreadable_message_within_a_minute_ends_the_connection() -> None:
    """4500; four, or five over a longer time, do not."""
    session = opened()
    for now in (0.0, 15.0, 30.0, 45.0, 61.0):
        assert codes(session.receive(BAD_JSON, now)) == [ErrorCode.BAD_JSON]
    assert codes(session.receive(BAD_JSON, 62.0)) == [ErrorCode.BAD_JSON, CloseCode.BAD_REQUEST]


def test_other_refusals_cost_nothing() -> None:
    """A newer client that tries what this server lacks is not thrown out."""
    session = opened()
    unknown = Refusal(ErrorCode.UNKNOWN_TYPE, "no such type")
    for now in range(100):
        assert codes(session.receive(unknown, float(now))) == [ErrorCode.UNKNOWN_TYPE]


def test_limits_run_into_again_and_again_end_the_connection() -> None:
    """4007 at the third strike within a minute; a burst is one strike."""
    session = opened()
    rate_limited = error(ErrorCode.RATE_LIMITED, CHAT.id, retry_after_ms=1000)

    def refuse_one(now: float) -> list[ErrorCode | CloseCode]:
        number = exchange(session.receive(CHAT, now))
        return codes(session.answer(number, rate_limited, now))

    for now in (0.0, 0.3, 0.6, 2.0, 62.5):
        assert refuse_one(now) == [ErrorCode.RATE_LIMITED]
    assert refuse_one(63.0) == [ErrorCode.RATE_LIMITED]
    assert refuse_one(64.0) == [ErrorCode.RATE_LIMITED]
    assert refuse_one(65.0) == [ErrorCode.RATE_LIMITED, CloseCode.RATE_LIMITED]
    assert session.state is State.CLOSED


# The end of an instance


def test_a_draining_server_starts_no_answer_and_does_the_rest() -> None:
    """New answers are `unavailable`, to be sent again elsewhere; everything else goes on."""
    session = opened()
    running = exchange(session.receive(c.Stop(answer="a"), 1.0))
    goaway = s.Goaway(reason=GoawayReason.SHUTDOWN, reconnect_after_ms=1500)
    assert session.drain(GoawayReason.SHUTDOWN, 1500) == [Send(goaway)]
    assert session.drain(GoawayReason.SHUTDOWN, 1500) == []
    starts: list[c.AnyClientFrame] = [
        CHAT,
        c.Regenerate(id="r", answer="a"),
        c.Edit(id="e", message="m", content="x"),
    ]
    for frame in starts:
        assert codes(refused_as_new(session, frame, 2.0)) == [ErrorCode.UNAVAILABLE]
    assert exchange(session.receive(c.Stop(answer="b"), 2.0))
    assert session.answer(running, s.Ok(ref="a"), 2.0)
    assert session.receive(c.Ping(), 2.0) == [Send(s.Pong())]


@pytest.mark.parametrize("state", [State.NEW, State.GREETING])
def test_who_is_not_greeted_yet_is_sent_away_at_once(state: State) -> None:
    """There is nothing to read to its end."""
    session = IN_STATE[state]()
    assert session.drain(GoawayReason.SHUTDOWN, 1500) == [Close(CloseCode.RESTART)]


def test_the_repr_shows_the_state_and_no_secret() -> None:
    """It may stand in a log."""
    session = fresh()
    session.receive(c.Hello(token="secret"), 0.0)
    assert repr(session) == "<ServerSession greeting unanswered=1>"
