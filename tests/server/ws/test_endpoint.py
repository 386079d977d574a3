"""The socket's way in: what is refused before the upgrade, and how; and what is upgraded."""

from typing import Any

import pytest

from protocol.codes import CloseCode
from server.limits.options import Options as Limits
from server.ws.endpoint import Endpoint
from tests.support.handshake import JSON, Handshake
from tests.support.lobby import Lobby
from tests.support.logs import logging_to_memory
from tests.support.people import person
from tests.support.waiting import until

MSGPACK = "parley.v1.msgpack"


def handshake_with(lobby: Lobby, **changes: Any) -> Handshake:
    """A handshake with the lobby's endpoint."""
    return Handshake(Endpoint(lobby.parts, lambda: lobby.draining), **changes)


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([], None),
        ([JSON], JSON),
        ([MSGPACK], MSGPACK),
        (["other", MSGPACK, JSON], MSGPACK),
    ],
)
async def test_the_first_known_subprotocol_is_agreed_on(
    lobby: Lobby, offered: list[str], agreed: str | None
) -> None:
    """None offered means JSON, and nothing is agreed on."""
    handshake = handshake_with(lobby, subprotocols=offered)
    assert await handshake.accepted() == agreed
    await handshake.leave()


async def test_only_unknown_subprotocols_are_taken_and_closed(lobby: Lobby) -> None:
    """A browser shows a page nothing of a refused upgrade."""
    handshake = handshake_with(lobby, subprotocols=["other"])
    assert await handshake.accepted() is None
    await handshake.running
    assert handshake.wire.code == CloseCode.UNSUPPORTED_VERSION
    assert lobby.parts.admission.sockets == 0
    [line] = lobby.lines
    assert line.session.startswith("s_")
    assert (line.code, line.peer, line.codec) == (4506, "127.0.0.1", None)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"headers": {"origin": "https://evil.example"}}, 403, "forbidden"),
        ({"headers": {"origin": "null"}}, 403, "forbidden"),
        ({"headers": {"host": "evil.example"}}, 403, "forbidden"),
        ({"query_string": b"token=xyz"}, 400, "token_in_query"),
        ({"query_string": b"x=eyJhbGciOiJI.eyJzdWIiOiJh.sig"}, 400, "token_in_query"),
        ({"more": [(b"origin", b"http://localhost")] * 2}, 400, "invalid_frame"),
        ({"more": [(b"authorization", b"Bearer x")] * 2}, 400, "invalid_frame"),
    ],
)
async def test_what_has_no_business_here_is_refused(
    lobby: Lobby, changes: dict[str, Any], status: int, code: str
) -> None:
    """By a status before the upgrade, in words, and with a line for the operator."""
    with logging_to_memory() as log:
        handshake = handshake_with(lobby, **changes)
        refused = await handshake.refused()
        [line] = log.lines()
    assert refused[:2] == (status, code)
    assert refused[2]["x-request-id"].startswith("s_")
    assert lobby.parts.admission.sockets == 0
    assert (line["event"], line["level"]) == ("a request was refused", "info")
    assert (line["status"], line["code"]) == (status, code)
    assert (line["trace"], line["peer"]) == (refused[2]["x-request-id"], "127.0.0.0/24")
    for told in ("evil", "xyz", "eyJ"):
        assert told not in str(line)


@pytest.mark.parametrize("limits", [Limits(handshakes_per_minute=1, handshakes_burst=1)])
async def test_too_many_handshakes_are_told_when_to_come_again(lobby: Lobby) -> None:
    """By address."""
    first = handshake_with(lobby)
    await first.accepted()
    status, code, headers = await handshake_with(lobby).refused()
    assert (status, code, headers["retry-after"]) == (429, "rate_limited", "60")
    assert headers["x-ratelimit-limit"] == "1"
    assert headers["x-ratelimit-remaining"] == "0"
    assert headers["x-ratelimit-reset"] == "60"
    await first.leave()


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        (Limits(sockets_per_address=1), 429, "rate_limited"),
        (Limits(sockets=1), 503, "overloaded"),
        (Limits(sockets=10), 503, "overloaded"),  # one of ten may be unknown
    ],
)
async def test_where_there_is_no_room_the_newcomer_is_refused(
    lobby: Lobby, status: int, code: str
) -> None:
    """And the next finds room once one is gone."""
    first = handshake_with(lobby)
    await first.accepted()
    refused = await handshake_with(lobby).refused()
    assert refused[:2] == (status, code)
    assert int(refused[2]["retry-after"]) >= 1
    assert refused[2].get("x-ratelimit-limit") == ("1" if status == 429 else None)
    await first.leave()
    third = handshake_with(lobby)
    await third.accepted()
    await third.leave()


ONE_A_SECOND = pytest.mark.parametrize("limits", [Limits(handshakes_per_s=1)])


@ONE_A_SECOND
async def test_who_comes_with_others_is_held_until_its_turn(lobby: Lobby) -> None:
    """One after the other; whom that would take too long is told to come again."""
    first = handshake_with(lobby)
    await first.accepted()
    held = [handshake_with(lobby) for _ in range(2)]
    status, code, headers = await handshake_with(lobby).refused()
    assert (status, code, headers["retry-after"]) == (503, "overloaded", "1")
    for handshake in held:
        assert handshake.sent == []
        lobby.now += 1
        assert await handshake.accepted() == JSON
        handshake.say(type="hello", token=lobby.token())
    await until(lambda: all(handshake.wire.written for handshake in held))
    for handshake in (first, *held):
        await handshake.leave()


@ONE_A_SECOND
async def test_who_vanishes_while_it_is_held_leaves_its_turn_to_the_next(lobby: Lobby) -> None:
    """And nothing behind."""
    first = handshake_with(lobby)
    await first.accepted()
    vanishing, next_ = handshake_with(lobby), handshake_with(lobby)
    await until(lambda: lobby.parts.admission.sockets == 3)
    await vanishing.leave()
    assert vanishing.sent == []
    assert lobby.parts.admission.sockets == 2
    lobby.now += 1
    await next_.accepted()
    await next_.leave()
    await first.leave()


@ONE_A_SECOND
async def test_who_is_held_when_the_server_begins_to_drain_is_refused(lobby: Lobby) -> None:
    """In its turn: another instance takes it, and not all who are held at once."""
    first = handshake_with(lobby)
    await first.accepted()
    held = handshake_with(lobby)
    await until(lambda: lobby.parts.admission.sockets == 2)
    lobby.draining = True
    lobby.now += 1
    status, code, headers = await held.refused()
    assert (status, code, headers["retry-after"]) == (503, "unavailable", "1")
    assert lobby.parts.admission.sockets == 1
    await first.leave()


async def test_a_draining_server_takes_nobody(lobby: Lobby) -> None:
    """Others do."""
    lobby.draining = True
    status, code, headers = await handshake_with(lobby).refused()
    assert (status, code) == (503, "unavailable")
    assert int(headers["retry-after"]) >= 1


@pytest.mark.parametrize("how", ["hello", "header", "ticket"])
async def test_credentials_come_in_one_of_three_ways(lobby: Lobby, how: str) -> None:
    """In the first frame, in a header, or as a ticket in the URL."""
    ticket = (await lobby.tickets.issue(person("ann"), None)).text
    opened_with: dict[str, dict[str, Any]] = {
        "header": {"headers": {"authorization": f"bearer {lobby.token()}"}},
        "ticket": {"query_string": f"ticket={ticket}".encode()},
        "hello": {},
    }
    handshake = handshake_with(lobby, **opened_with[how])
    handshake.say(type="hello", **({"token": lobby.token()} if how == "hello" else {}))
    await until(lambda: handshake.wire.written)
    [welcome] = handshake.wire.frames
    assert getattr(welcome, "user", None) == "ann"
    await handshake.leave()
    assert lobby.parts.admission.sockets == 0


async def test_a_callers_trace_is_the_sockets(lobby: Lobby) -> None:
    """As it is a request's, so that both sides' logs are read together."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced = {"headers": {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}}
    handshake = handshake_with(lobby, **traced)
    await handshake.accepted()
    assert (b"x-request-id", trace.encode()) in handshake.sent[0]["headers"]
    handshake.say(type="hello", token=lobby.token())
    handshake.say(type="stop", answer="nobodys")
    await until(lambda: len(handshake.wire.written) == 2)
    welcome, error = handshake.wire.frames
    assert getattr(welcome, "session", "").startswith("s_")
    assert getattr(error, "trace", None) == trace
    await handshake.leave()
    other = handshake_with(lobby, subprotocols=["other"], **traced)
    await other.running
    lobby.draining = True
    refused = await handshake_with(lobby, **traced).refused()
    assert refused[2]["x-request-id"] == trace
    assert [line.trace for line in lobby.lines] == [trace, trace]


@pytest.mark.parametrize("traceparent", ["", "00-0-0-0", "my dog is called Wotan"])
async def test_without_a_trace_the_socket_has_its_own(lobby: Lobby, traceparent: str) -> None:
    """Its name; a client cannot put a text there."""
    handshake = handshake_with(lobby, headers={"traceparent": traceparent})
    await handshake.accepted()
    await handshake.leave()
    [line] = lobby.lines
    assert line.trace == line.session


async def test_a_query_of_many_fields_is_read_or_ignored(lobby: Lobby) -> None:
    """It is no fault of ours."""
    handshake = handshake_with(lobby, query_string=b"&".join(b"a%d=1" % n for n in range(200)))
    assert await handshake.accepted() == JSON
    handshake.say(type="hello")
    await handshake.running
    assert handshake.wire.code == CloseCode.UNAUTHENTICATED


async def test_a_place_is_given_back_whatever_happens(lobby: Lobby) -> None:
    """Also where the upgrade itself fails."""
    handshake = handshake_with(lobby)

    async def broken(message: Any) -> None:
        raise OSError("gone")

    handshake._send = broken  # type: ignore[method-assign] # the connection breaks just now
    with pytest.raises(OSError, match="gone"):
        await handshake.running
    assert lobby.parts.admission.sockets == 0
