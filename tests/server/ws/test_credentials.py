"""What a socket was opened with, and who that is."""

import pytest

from protocol.codes import CloseCode, ErrorCode
from server.auth.principal import Kind
from server.auth.tokens import TokenRefused
from server.errors import ChatError
from server.ws.credentials import Credentials
from storage.errors import Unavailable
from tests.support.lobby import TENANT, Lobby
from tests.support.people import person


def credentials(
    lobby: Lobby, *, bearer: str | None = None, ticket: str | None = None, origin: str | None = None
) -> Credentials:
    """Of a socket that was opened with these."""
    return Credentials(lobby.parts, "s_1", origin=origin, bearer=bearer, ticket=ticket)


async def test_the_token_in_hello_goes_before_all_others(lobby: Lobby) -> None:
    """Then the header's, then the ticket."""
    ticket = (await lobby.tickets.issue(person("cid"), None)).text
    all_three = credentials(lobby, bearer=lobby.token("bob"), ticket=ticket)
    assert (await all_three.verify(lobby.token("ann"))).user == "ann"
    assert (await credentials(lobby, bearer=lobby.token("bob")).verify(None)).user == "bob"
    assert (await credentials(lobby, ticket=ticket).verify(None)).user == "cid"


async def test_a_header_counts_once(lobby: Lobby) -> None:
    """Later tokens come by `auth`, and nothing is kept."""
    given = credentials(lobby, bearer=lobby.token())
    await given.verify(None)
    with pytest.raises(TokenRefused):
        await given.verify(None)


async def test_nobody_is_let_in_without_any(lobby: Lobby) -> None:
    """And a ticket is good once, from where it was issued."""
    with pytest.raises(TokenRefused) as refused:
        await credentials(lobby).verify(None)
    assert refused.value.close is CloseCode.UNAUTHENTICATED
    ticket = (await lobby.tickets.issue(person("ann"), "https://a.example")).text
    with pytest.raises(TokenRefused):
        await credentials(lobby, ticket=ticket, origin="https://b.example").verify(None)


async def test_a_socket_stays_its_users(lobby: Lobby) -> None:
    """A new token of the same person, or the user that a visitor becomes, and nobody else's."""
    given = credentials(lobby)
    ann, visitor = person("ann"), person("v_1", kind=Kind.VISITOR)
    await given.become(ann, person("ann"))
    await given.become(visitor, visitor)
    for before, now in [
        (ann, person("bob")),
        (ann, visitor),
        (visitor, person("v_2", kind=Kind.VISITOR)),
        (visitor, person("ann", tenant="other")),
    ]:
        with pytest.raises(ChatError) as refused:
            await given.become(before, now)
        assert refused.value.code is ErrorCode.FORBIDDEN


async def test_what_a_visitor_said_goes_with_them(lobby: Lobby) -> None:
    """To the user that the host's token names."""
    visitor = person("v_1", kind=Kind.VISITOR)
    sent = await lobby.store.sending.send(visitor.owner, lobby.world.ask())
    await credentials(lobby).become(visitor, person("ann"))
    found = await lobby.store.conversations.get(person("ann").owner, sent.conversation)
    assert (found.tenant, found.owner) == (TENANT, "ann")


async def test_a_ticket_whose_store_is_away_lets_nobody_in_and_may_be_shown_again(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1013: the client comes back, for nothing is wrong with what it has."""
    ticket = (await lobby.tickets.issue(person("ann"), None)).text

    async def away(_: bytes) -> None:
        raise Unavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(lobby.tickets._store, "take", away)
        caller = lobby.call(ticket=ticket)
        caller.say("hello")
        assert await caller.closed() == CloseCode.OVERLOADED
    caller = lobby.call(ticket=ticket)
    caller.say("hello")
    await caller.one("welcome")


async def test_a_used_ticket_is_refused_even_if_that_cannot_be_noted(
    lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong is the ticket, whatever else is."""
    ticket = (await lobby.tickets.issue(person("ann"), None)).text
    await credentials(lobby, ticket=ticket).verify(None)

    async def away(*_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(lobby.store.internal.audit, "append", away)
    with pytest.raises(TokenRefused) as refused:
        await credentials(lobby, ticket=ticket).verify(None)
    assert refused.value.close is CloseCode.UNAUTHENTICATED
    [(trace, error)] = lobby.faults
    assert (trace, type(error)) == ("s_1", Unavailable)
    lobby.faults.clear()
