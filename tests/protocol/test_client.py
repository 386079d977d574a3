"""The client's machine: what the golden dialogues leave out.

Those tell its ordinary life (`test_dialogues.py`); here are its edges, bounds and rare crossings.
"""

from itertools import product

import pytest

from protocol.client import (
    BREAKS,
    PONG_S,
    REFUSALS,
    ClientSession,
)
from protocol.client_states import TRANSITIONS, Event, State
from protocol.codec import JSON, MSGPACK, Codec, Refusal, Unknown
from protocol.codes import Advice, CloseCode, ErrorCode, advice
from protocol.frames import from_client as c
from protocol.frames import from_server as s
from protocol.limits import ATTACHED_CONVERSATIONS, GREETING_FRAME_BYTES
from protocol.news import (
    Action,
    Answered,
    Close,
    Connect,
    Delayed,
    Heard,
    Moved,
    NeedToken,
    Send,
    Tell,
    Unfollowed,
    Updated,
)
from protocol.outbox import REQUESTS
from protocol.session import LocalError
from protocol.types import GoawayReason
from tests.protocol.examples import ack, error, fitting_answer, welcome
from tests.protocol.room import Room

CHAT = c.Chat(id="m-1", content="Hello")
INF = float("inf")


def stopped() -> ClientSession:
    return ClientSession(token="token-1", info=c.ClientInfo(name="test", version="1"))


def connecting() -> ClientSession:
    client = stopped()
    client.connect(0.0)
    return client


def greeting() -> ClientSession:
    client = connecting()
    client.opened()
    return client


def opened() -> ClientSession:
    client = greeting()
    client.receive(welcome(), 0.0, 0.5)
    return client


def draining() -> ClientSession:
    client = opened()
    client.receive(s.Goaway(reason=GoawayReason.SHUTDOWN, reconnect_after_ms=1000), 0.0, 0.5)
    return client


def waiting() -> ClientSession:
    client = opened()
    client.closed(1006, 0.0, 0.5)
    return client


IN_STATE = {
    State.STOPPED: stopped,
    State.CONNECTING: connecting,
    State.GREETING: greeting,
    State.OPEN: opened,
    State.DRAINING: draining,
    State.WAITING: waiting,
}


def again(client: ClientSession, now: float) -> list[Action]:
    """Lose the connection and get another one."""
    client.closed(1006, now, 0.0)
    client.tick(now)
    hello = client.opened()
    return hello + client.receive(welcome(), now, 0.5)


def sent(actions: list[Action]) -> list[c.AnyClientFrame]:
    return [action.frame for action in actions if isinstance(action, Send)]


# The table


@pytest.mark.parametrize("state", State)
def test_each_state_is_what_its_way_there_says(state: State) -> None:
    """The ways used in these tests are legal ones."""
    assert IN_STATE[state]().state is state


def test_every_state_can_be_reached_and_stopped() -> None:
    """And a client that is not stopped can always go on to the next connection."""
    reached = {State.STOPPED}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
    for state in set(State) - {State.STOPPED}:
        assert TRANSITIONS[state, Event.STOP] is State.STOPPED
        assert ((state, Event.LOST) in TRANSITIONS) == (state is not State.WAITING)


def test_an_illegal_call_is_our_fault_and_changes_nothing() -> None:
    """Only `connect` and `opened` have a time of their own."""
    for state, event in product(State, (Event.CONNECT, Event.OPENED)):
        if (state, event) in TRANSITIONS:
            continue
        client = IN_STATE[state]()
        before, deadline = repr(client), client.deadline
        with pytest.raises(LocalError, match=state.value):
            client.connect(1.0) if event is Event.CONNECT else client.opened()
        assert (repr(client), client.deadline) == (before, deadline)


@pytest.mark.parametrize("state", State)
def test_a_close_is_taken_in_any_state_by_what_its_code_advises(state: State) -> None:
    """Without a socket it is an echo of our own close."""
    for code in (*CloseCode, 4333, 4999, 3000):
        client = IN_STATE[state]()
        actions = client.closed(code, 1.0, 0.5)
        if state in (State.STOPPED, State.WAITING):
            assert actions == []
        elif advice(code) is Advice.RECONNECT:
            assert client.state is State.WAITING
        else:
            assert client.state is State.STOPPED
            assert client.deadline == INF
            assert (Tell(NeedToken("expired")) in actions) == (code == CloseCode.TOKEN_EXPIRED)


@pytest.mark.parametrize("state", [State.STOPPED, State.CONNECTING, State.WAITING])
def test_without_a_socket_nothing_is_heard(state: State) -> None:
    """A shell that hands on what is left of the last socket does no harm."""
    client = IN_STATE[state]()
    assert client.receive(welcome(), 1.0, 0.5) == []
    assert client.receive(ack(CHAT), 1.0, 0.5) == []
    assert client.state is state


def test_what_comes_out_of_turn_is_ignored() -> None:
    """A second `welcome` or `goaway`, an answer before `welcome`, bytes that say nothing."""
    assert greeting().receive(ack(CHAT), 0.0, 0.5) == []
    assert opened().receive(welcome(), 0.0, 0.5) == []
    assert opened().receive(Unknown(), 0.0, 0.5) == []
    goaway = s.Goaway(reason=GoawayReason.SHUTDOWN, reconnect_after_ms=0)
    client = draining()
    assert client.receive(goaway, 0.5, 0.5) == []
    assert client.deadline == 1.0


def test_a_refused_hello_is_told() -> None:
    """The server waits for another one, and closes without a word about this one's fault."""
    refused = error(ErrorCode.INVALID_FIELD)
    assert greeting().receive(refused, 0.0, 0.5) == [Tell(Heard(refused))]


# Requests


def test_a_request_that_never_left_can_be_taken_back() -> None:
    """One that left may have been taken: it must be stopped by the answer that `ack` names."""
    client = stopped()
    client.submit(CHAT, 0.0)
    assert client.withdraw("m-1")
    assert not client.withdraw("m-1")
    client = opened()
    client.submit(CHAT, 0.0)
    assert not client.withdraw("m-1")
    client.closed(1006, 1.0, 0.5)
    assert not client.withdraw("m-1")


def test_too_many_requests_are_refused_here() -> None:
    """Each with an answer of its own, so that nothing piles up unseen."""
    client = stopped()
    for number in range(REQUESTS):
        assert client.submit(c.Stop(answer=f"a{number}"), 0.0) == []
    (told,) = client.submit(CHAT, 0.0)
    assert isinstance(told, Tell)
    assert isinstance(told.news, Answered)
    assert isinstance(told.news.answer, Refusal)
    assert told.news.answer.code is ErrorCode.OVERLOADED


def test_what_waited_is_checked_when_the_offer_is_known() -> None:
    """What left before goes to the server all the same, for only it knows what became of it."""
    client = opened()
    client.submit(c.Chat(id="m-0", content="x" * 50), 0.0)
    client.closed(1006, 1.0, 0.0)
    late = c.Chat(id="m-1", content="x" * 50)
    assert client.submit(late, 1.0) == []
    client.tick(1.0)
    client.opened()
    actions = client.receive(welcome(content_bytes=49), 1.0, 0.5)
    assert [frame.id for frame in sent(actions) if isinstance(frame, c.Chat)] == ["m-0"]
    refused = [a.news for a in actions if isinstance(a, Tell) and isinstance(a.news, Answered)]
    assert [one.request for one in refused] == [late]


def test_a_frame_over_the_size_limit_never_leaves() -> None:
    """1009 would end the connection, and again on the next one."""
    client = greeting()
    client.receive(welcome(client_frame_bytes=200), 0.0, 0.5)
    (told,) = client.submit(c.Chat(id="m-1", content="\x01" * 60), 0.0)
    assert isinstance(told, Tell)
    assert isinstance(told.news, Answered)
    assert isinstance(told.news.answer, Refusal)
    assert told.news.answer.code is ErrorCode.PAYLOAD_TOO_LARGE


def test_a_request_refused_again_and_again_is_told_at_last() -> None:
    """With longer delays each time, for about two minutes."""
    client = opened()
    client.submit(CHAT, 0.0)
    now, refusal = 0.0, error(ErrorCode.UNAVAILABLE, "m-1")
    for _ in range(REFUSALS):
        (told,) = client.receive(refusal, now, 0.99)
        client.receive(s.Pong(), now, 0.5)
        due = client.outbox.due(starts=True)
        assert isinstance(told, Tell)
        assert isinstance(told.news, Delayed)
        assert (told.news.request, told.news.error) == (CHAT, refusal)
        assert told.news.wait_s == pytest.approx(due - now)
        now = due
        assert CHAT in sent(client.tick(now))
    assert 60.0 < now < 240.0
    assert client.receive(refusal, now, 0.99) == [Tell(Answered(CHAT, refusal))]
    assert len(client.outbox) == 0


def test_a_queued_message_that_finds_the_conversation_busy_tries_again() -> None:
    """Only `reject` asked to be told at once."""
    client = opened()
    client.submit(CHAT, 0.0)
    busy = error(ErrorCode.BUSY, "m-1")
    assert client.receive(busy, 0.0, 0.5) == [Tell(Delayed(CHAT, busy, 0.25))]
    assert client.outbox.due(starts=True) == 0.25


def test_a_page_of_history_joins_what_is_held() -> None:
    """Of a conversation that is followed; of another one it is only told."""
    client, room = opened(), Room()
    room.complete(room.say("Hello"))
    client.follow("c", 0.0)
    client.receive(fitting_answer(c.Attach(conversation="c")), 0.0, 0.5)
    for name in ("c", "other"):
        client.submit(c.ReadHistory(id=name, conversation=name), 0.0)
        page = s.History(ref=name, messages=room.branch(), more=False)
        (told,) = client.receive(page, 0.0, 0.5)
        assert isinstance(told, Tell)
        assert isinstance(told.news, Answered)
    assert set(client.replicas["c"].messages) == set(room.now.rows)
    assert "other" not in client.replicas


@pytest.mark.parametrize("code", [1009, 4500, 1002, 1003, 1007])
def test_what_was_under_way_at_a_close_it_may_have_caused_never_leaves_again(code: int) -> None:
    """It is answered here; what had not left is kept."""
    client = opened()
    client.submit(CHAT, 0.0)
    client.submit(c.Stop(answer="a"), 0.0)
    actions = client.closed(code, 1.0, 0.5)
    told = [a.news.request for a in actions if isinstance(a, Tell) and isinstance(a.news, Answered)]
    assert told == [CHAT, c.Stop(answer="a")]
    assert len(client.outbox) == 0


# Following


def test_following_during_the_greeting_attaches_after_it() -> None:
    """`hello` has left already."""
    client = greeting()
    assert client.follow("c", 0.0) == []
    assert sent(client.receive(welcome(), 0.0, 0.5)) == [c.Attach(conversation="c")]


def test_no_more_is_followed_than_a_socket_may() -> None:
    """The 51st is refused here, also before the server has said how many it allows."""
    client = stopped()
    for number in range(ATTACHED_CONVERSATIONS):
        assert client.follow(f"c{number}", 0.0) == []
    (told,) = client.follow("one too many", 0.0)
    assert isinstance(told, Tell)
    assert isinstance(told.news, Unfollowed)
    assert told.news.why.code is ErrorCode.QUOTA_EXCEEDED
    assert client.follow("c1", 0.0) == []


def test_attachments_that_hello_has_no_room_for_follow_after_welcome() -> None:
    """4 KiB are little for fifty positions and a token."""
    client = stopped()
    names = [f"{number:064}" for number in range(ATTACHED_CONVERSATIONS)]
    for name in names:
        client.follow(name, 0.0)
    client.submit(CHAT, 0.0)
    client.connect(0.0)
    (hello,) = sent(client.opened())
    assert isinstance(hello, c.Hello)
    told = [wanted.conversation for wanted in hello.attach or []]
    assert 20 < len(told) < 50
    *rest, last = sent(client.receive(welcome(), 0.0, 0.5))
    assert (
        told + [frame.conversation for frame in rest if isinstance(frame, c.Attach)]
        == (names[::-1])
    )
    assert last == CHAT


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_a_token_is_in_hello_or_left_to_the_handshake(codec: Codec) -> None:
    """As `hello` has room for it, to the byte; never in both, and never in none."""
    room = GREETING_FRAME_BYTES - len(codec.encode(c.Hello(token="t" * 1000))) + 1000
    for length, fits in ((room, True), (room + 1, False), (8192, False)):
        client = ClientSession(token="t" * length, codec=codec)
        client.connect(0.0)
        assert client.bearer == (None if fits else "t" * length)
        (hello,) = sent(client.opened())
        assert len(codec.encode(hello)) <= GREETING_FRAME_BYTES
        assert isinstance(hello, c.Hello)
        assert hello.token == ("t" * length if fits else None)


def test_how_long_the_welcome_is_waited_for_can_be_chosen() -> None:
    """A person has less patience than a program."""
    client = ClientSession(connect_s=7.0)
    client.connect(1.0)
    assert client.deadline == 8.0
    assert client.tick(8.0) == [Close(CloseCode.HELLO_TIMEOUT)]


def test_unfollowing_without_a_connection_needs_no_detach() -> None:
    """The next `hello` does not name it."""
    client = waiting()
    client.follow("c", 0.0)
    assert client.unfollow("c", 0.0) == []
    assert client.unfollow("c", 0.0) == []
    client.tick(1.0)
    (hello,) = sent(client.opened())
    assert hello == c.Hello(token="token-1", client=c.ClientInfo(name="test", version="1"))


def test_an_ack_that_crosses_our_leaving_does_not_bring_the_conversation_back() -> None:
    """`detach` waits for the `ack`, and then ends what the `ack` began."""
    client = opened()
    client.follow("c", 0.0)
    client.receive(fitting_answer(c.Attach(conversation="c")), 0.0, 0.5)
    chat = c.Chat(id="m-1", content="Hello", conversation="c")
    client.submit(chat, 0.0)
    assert client.unfollow("c", 0.0) == []
    answered = client.receive(ack(chat), 0.0, 0.5)
    assert answered == [Tell(Answered(chat, ack(chat))), Send(c.Detach(conversation="c"))]
    assert client.replicas == {}


def test_sending_into_an_older_conversation_asks_for_a_snapshot_of_it() -> None:
    """The `ack`'s position lies behind an answer that still runs and that nothing here knows."""
    client, room = opened(), Room()
    earlier = room.say("One")
    position = len(room.log)
    later = room.say("Two", earlier)
    chat = c.Chat(id="m-1", content="Two", conversation="c")
    client.submit(chat, 0.0)
    answered = client.receive(ack(chat, answer=later, seq=position), 0.0, 0.5)
    assert sent(answered) == [c.Attach(conversation="c")]
    for frame in room.since(position):
        assert isinstance(frame, s.MessageMade)
        assert client.receive(frame, 0.0, 0.5) == []
    snapshot = room.snapshot()[0]
    assert isinstance(snapshot, s.Attached)
    client.receive(snapshot, 0.0, 0.5)
    client.receive(room.chunk(earlier, "x"), 0.0, 0.5)
    assert client.replicas["c"].answers[earlier].text.text == "x"


def test_frames_on_a_new_connection_wait_for_attached() -> None:
    """A resent message may make the server follow from its `ack`, before it answers `attach`."""
    client, room = opened(), Room()
    answer = room.say("Hello")
    client.submit(CHAT, 0.0)
    client.receive(ack(CHAT, answer=answer), 0.0, 0.5)
    for frame in room.since(0):
        assert isinstance(frame, s.MessageMade)
        client.receive(frame, 0.0, 0.5)
    again(client, 1.0)
    first, second = room.chunk(answer, "one"), room.chunk(answer, "two")
    assert client.receive(first, 1.0, 0.5) == []
    recovered = room.recovered(2)
    assert client.receive(recovered, 1.0, 0.5) == [Tell(Updated("c", recovered))]
    for logged in (first, second):
        assert client.receive(logged, 1.0, 0.5) == [Tell(Updated("c", logged))]


def test_a_server_that_cannot_bring_a_conversation_level_is_left() -> None:
    """After some re-attachments without progress: 4005, and the backoff decides."""
    client, room = opened(), Room()
    answer = room.say("Hello")
    client.follow("c", 0.0)
    attached = room.snapshot()[0]
    room.chunk(answer, "lost")
    beyond = room.chunk(answer, "beyond")
    assert isinstance(attached, s.Attached)
    for _ in range(BREAKS):
        client.receive(attached, 0.0, 0.5)
        (attach,) = sent(client.receive(beyond, 0.0, 0.5))
        assert isinstance(attach, c.Attach)
    client.receive(attached, 0.0, 0.5)
    assert client.receive(beyond, 0.0, 0.5) == [Close(CloseCode.NOT_LEVEL)]


def test_an_attachment_refused_for_now_is_tried_again() -> None:
    """As any request; a final refusal ends the following."""
    client = opened()
    client.follow("c", 0.0)
    (told,) = client.receive(error(ErrorCode.UNAVAILABLE, "c"), 0.0, 0.5)
    assert isinstance(told, Tell)
    assert isinstance(told.news, Delayed)
    assert sent(client.tick(0.25)) == [c.Attach(conversation="c")]
    refused = error(ErrorCode.NOT_FOUND, "c")
    assert client.receive(refused, 1.0, 0.5) == [Tell(Unfollowed("c", refused))]


def test_an_attachment_does_not_wait_for_a_message_that_waits() -> None:
    """The message waits for the end of the answer whose text is missing here."""
    client, room = opened(), Room()
    answer = room.say("Hello")
    client.follow("c", 0.0)
    attached = room.snapshot()[0]
    assert isinstance(attached, s.Attached)
    client.receive(attached, 0.0, 0.5)
    chat = c.Chat(id="m-1", content="And then?", conversation="c")
    client.submit(chat, 0.0)
    client.receive(error(ErrorCode.BUSY, "m-1", retry_after_ms=60_000), 0.0, 0.5)
    room.chunk(answer, "lost")
    (attach,) = sent(client.receive(room.chunk(answer, "beyond"), 1.0, 0.5))
    assert isinstance(attach, c.Attach)
    client.receive(room.recovered(attached.seq), 2.0, 0.5)
    assert sent(client.tick(60.0))[-1] == chat


def test_while_one_attachment_waits_no_second_one_does() -> None:
    """However often a server brings the conversation level unasked, and breaks it again."""
    client, room = opened(), Room()
    answer = room.say("Hello")
    client.follow("c", 0.0)
    attached = room.snapshot()[0]
    assert isinstance(attached, s.Attached)
    client.receive(attached, 0.0, 0.5)
    client.submit(c.Chat(id="m-1", content="And then?", conversation="c"), 0.0)
    for _ in range(10):
        client.receive(room.chunk(answer, "one"), 0.0, 0.5)
        position = len(room.log)
        room.chunk(answer, "lost")
        client.receive(room.chunk(answer, "beyond"), 0.0, 0.5)
        client.receive(room.recovered(position), 0.0, 0.5)
        for frame in room.since(position):
            assert isinstance(frame, s.Chunk)
            client.receive(frame, 0.0, 0.5)
    assert repr(client.outbox) == "<Outbox sent=1 waiting=1>"


def test_nothing_is_sent_behind_a_close() -> None:
    """What waits for an attachment that did not help leaves on the next connection."""
    client = opened()
    client.follow("c", 0.0)
    lie = s.Attached(conversation="c", epoch="e", seq=9, recovered=True, leaf=None, answers=[])
    for _ in range(BREAKS):
        assert sent(client.receive(lie, 0.0, 0.5)) == [c.Attach(conversation="c")]
    assert client.submit(c.Chat(id="m-1", content="Hello", conversation="c"), 0.0) == []
    assert client.receive(lie, 0.0, 0.5) == [Close(CloseCode.NOT_LEVEL)]


def test_a_server_cannot_make_a_client_follow_more_than_a_socket_may() -> None:
    """`attached` also comes unasked, for what was sent into: but not for ever more."""
    client = opened()
    for number in range(ATTACHED_CONVERSATIONS + 1):
        client.receive(fitting_answer(c.Attach(conversation=f"c{number}")), 0.0, 0.5)
    assert len(client.replicas) == ATTACHED_CONVERSATIONS


def test_what_the_client_itself_asks_is_no_matter_of_the_offer() -> None:
    """A server that takes next to nothing gets its `auth`, and the application no answer to it."""
    client = greeting()
    client.auth("token-2", 0.0)
    actions = client.receive(welcome(client_frame_bytes=10), 0.0, 0.5)
    assert sent(actions) == [c.Auth(token="token-2")]
    assert not any(isinstance(a, Tell) and isinstance(a.news, Answered) for a in actions)


# Tokens


def test_a_token_that_comes_during_the_greeting_is_sent_after_it() -> None:
    """`hello` has left with the old one."""
    client = greeting()
    assert client.auth("token-2", 0.0) == []
    assert sent(client.receive(welcome(), 0.0, 0.5)) == [c.Auth(token="token-2")]


def test_of_two_new_tokens_the_second_is_still_untried_when_the_first_is_accepted() -> None:
    """They go one at a time, because both answers say `auth`."""
    client = opened()
    assert sent(client.auth("token-2", 0.0)) == [c.Auth(token="token-2")]
    assert client.auth("token-3", 0.0) == []
    assert sent(client.receive(s.Ok(ref="auth"), 0.0, 0.5)) == [c.Auth(token="token-3")]
    client.closed(4002, 1.0, 0.5)
    assert client.state is State.WAITING


def test_a_token_that_a_new_connection_was_opened_with_is_not_new_any_more() -> None:
    """Expired at the greeting: stop, and not once more with the same."""
    client = waiting()
    client.auth("token-2", 0.0)
    client.tick(1.0)
    client.opened()
    actions = client.closed(4002, 1.0, 0.5)
    assert actions == [Tell(Moved(State.STOPPED, 4002)), Tell(NeedToken("expired"))]


# Life and waiting


def test_waking_asks_an_open_connection_for_life_once() -> None:
    """A page that comes to the front, or a network that is back, need not drop the socket."""
    client = opened()
    assert sent(client.wake(5.0)) == [c.Ping(id="ping-1")]
    assert client.wake(5.0) == []
    assert client.deadline == 5.0 + PONG_S
    client.receive(s.Notice(reason="operator", text="x"), 6.0, 0.5)  # type: ignore[arg-type] # any word
    assert client.tick(5.0 + PONG_S) == [Close(CloseCode.HEARTBEAT_LOST)]


def test_only_a_pong_answers_a_ping() -> None:
    """A server whose receiving half is dead may still talk."""
    client = opened()
    client.wake(5.0)
    client.receive(s.Pong(id="ping-1"), 6.0, 0.5)
    assert client.deadline == 6.0 + 1.5 * 20
    assert stopped().wake(1.0) == connecting().wake(1.0) == []


def test_the_deadline_counts_requests_only_while_they_may_leave() -> None:
    """Else a loop would wake for nothing."""
    client = stopped()
    client.submit(CHAT, 0.0)
    assert client.deadline == INF
    client = draining()
    client.submit(CHAT, 0.5)
    assert client.deadline == 1.0


def test_stopping_lets_go_of_a_socket_that_is_there() -> None:
    """And keeps what is followed for another `connect`."""
    client = opened()
    client.follow("c", 0.0)
    assert client.stop() == [Tell(Moved(State.STOPPED, 1000)), Close(CloseCode.NORMAL)]
    assert client.closed(1000, 1.0, 0.5) == []
    assert client.connect(2.0)[-1] == Connect()
    (hello,) = sent(client.opened())
    assert isinstance(hello, c.Hello)
    assert hello.attach == [c.Attachment(conversation="c")]


def test_welcome_is_told_and_kept() -> None:
    """Who one is, and what is offered."""
    client = greeting()
    assert Tell(Heard(welcome())) in client.receive(welcome(), 0.0, 0.5)
    assert client.welcome == welcome()


def test_the_repr_shows_the_state_and_no_secret() -> None:
    """It may stand in a log."""
    client = opened()
    client.submit(CHAT, 0.0)
    assert repr(client) == "<ClientSession open <Following 0> <Outbox sent=1 waiting=0>>"
