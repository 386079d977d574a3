"""One-time tickets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode, ErrorCode
from server.auth.options import Options
from server.auth.principal import Kind, Principal, Role, Scope, Tier
from server.auth.tickets import Tickets
from server.auth.tokens import TokenRefused
from server.errors import ChatError
from storage.errors import Unavailable
from storage.memory.tickets import MemoryTickets
from tests.support.people import person

ANN, BOB = person("ann"), person("bob", tenant="acme")
HOME = "https://chat.example"


class Office:
    """Tickets, and time that passes when the test says so."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.options = Options(**options)
        self.store = MemoryTickets(lambda: round(self.now * 1000))
        self.tickets = self.another()

    def another(self) -> Tickets:
        """A further instance's."""
        return Tickets(self.store, self.options, wall_clock=lambda: self.now + 1_790_000_000)

    async def issue(self, who: Principal = ANN, origin: str | None = HOME) -> str:
        return (await self.tickets.issue(who, origin)).text

    async def refused(self, text: str, origin: str | None = HOME) -> TokenRefused:
        with pytest.raises(TokenRefused) as caught:
            await self.tickets.redeem(text, origin)
        assert caught.value.close is CloseCode.UNAUTHENTICATED
        return caught.value

    async def too_many(self, who: Principal = ANN) -> ChatError:
        with pytest.raises(ChatError) as caught:
            await self.issue(who)
        return caught.value


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_ticket_lets_in_once_who_asked_for_it(office: Office) -> None:
    """The second time is to be written down, with whose it was."""
    text, other = await office.issue(), await office.issue(BOB)
    assert await office.tickets.redeem(text, HOME) == ANN
    assert (await office.refused(text)).replayed == ANN.owner
    assert await office.tickets.redeem(other, HOME) == BOB


async def test_a_ticket_of_one_instance_is_good_at_another_and_once_in_all(
    office: Office,
) -> None:
    """Wherever it is shown again, that is known."""
    text = await office.issue()
    assert await office.another().redeem(text, HOME) == ANN
    assert (await office.refused(text)).replayed == ANN.owner


async def test_a_ticket_that_this_version_cannot_read_lets_nobody_in(office: Office) -> None:
    """Another version handed it out; the next one asked for is of this one."""
    text = await office.issue()
    for kept in office.store._out.values():
        kept.value = b'{"principal":{"tenant":"acme"}}'
    assert (await office.refused(text)).replayed is None


async def test_all_of_a_principal_comes_back(office: Office) -> None:
    """Whatever a token may say of somebody."""
    visitor = person(
        "v",
        kind=Kind.VISITOR,
        roles=frozenset({Role.USER, Role.ADMIN}),
        tier=Tier.ENTERPRISE,
        scopes=frozenset({Scope.CHAT_TOOLS}),
        features=("one", "two"),
        token_budget=5,
        name="Zoë",
        email="z@example.org",
        locale="de",
        site="s",
        origin=HOME,
    )
    text = (await office.tickets.issue(visitor, HOME)).text
    assert await office.tickets.redeem(text, HOME) == visitor


async def test_without_the_store_no_ticket_is_issued_and_none_lets_in(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether one was used is not known then."""
    text = await office.issue()

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(office.store, "take", away)
    monkeypatch.setattr(office.store, "put", away)
    with pytest.raises(Unavailable):
        await office.tickets.redeem(text, HOME)
    with pytest.raises(Unavailable):
        await office.issue()


async def test_a_ticket_is_good_for_thirty_seconds(office: Office) -> None:
    """It says so."""
    ticket = await office.tickets.issue(ANN, HOME)
    assert ticket.expires_at == office.now + 1_790_000_000 + 30
    late = await office.issue()
    office.now += 29.9
    assert await office.tickets.redeem(ticket.text, HOME) == ANN
    office.now += 0.1
    assert (await office.refused(late)).replayed is None
    assert (await office.refused(ticket.text)).replayed is None


async def test_a_ticket_is_bound_to_its_origin_and_spent_by_any_other(office: Office) -> None:
    """None is one too; another spelling is the same."""
    for given_to, shown_by in ((HOME, "https://evil.example"), (HOME, None), (None, HOME)):
        text = await office.issue(origin=given_to)
        await office.refused(text, shown_by)
        await office.refused(text, given_to)
    assert await office.tickets.redeem(await office.issue(), "HTTPS://Chat.Example:443") == ANN
    assert await office.tickets.redeem(await office.issue(origin=None), None) == ANN


async def test_nobody_holds_more_than_a_few(office: Office) -> None:
    """Who waits until the oldest ends gets another one."""
    office = Office(tickets_per_user=2)
    await office.issue()
    office.now += 10
    text = await office.issue()
    refusal = await office.too_many()
    assert (refusal.code, refusal.retry_after_ms) == (ErrorCode.RATE_LIMITED, 20_000)
    assert await office.issue(BOB)
    office.now += 20
    assert await office.issue()
    assert (await office.too_many()).code is ErrorCode.RATE_LIMITED
    assert await office.tickets.redeem(text, HOME) == ANN


async def test_a_used_ticket_is_held_no_longer() -> None:
    """Who uses each at once gets as many as they like; one that went astray is used too."""
    office = Office(tickets_per_user=1)
    for _ in range(3):
        await office.tickets.redeem(await office.issue(), HOME)
    await office.refused(await office.issue(), "https://evil.example")
    await office.issue()
    await office.too_many()
    office.now += 30
    await office.issue()
    await office.too_many()


async def test_those_in_all_are_those_that_are_out() -> None:
    """Who uses many keeps nobody else from one, and no more used ones than that are remembered."""
    office = Office(tickets=2)
    used = []
    for _ in range(5):
        used.append(await office.issue())
        await office.tickets.redeem(used[-1], HOME)
    await office.issue(BOB)
    assert [(await office.refused(text)).replayed for text in used[-2:]] == [ANN.owner] * 2
    assert (await office.refused(used[0])).replayed is None


async def test_in_all_there_are_no_more_than_so_many(office: Office) -> None:
    """However many persons ask."""
    office = Office(tickets=3)
    for number in range(3):
        await office.issue(person(f"u{number}"))
    refusal = await office.too_many()
    assert (refusal.code, refusal.retry_after_ms) == (ErrorCode.OVERLOADED, 30_000)
    office.now += 30
    assert await office.issue()


@given(st.text())
async def test_any_text_is_refused_that_was_not_handed_out(text: str) -> None:
    """Also one with half a pair."""
    office = Office()
    await office.issue()
    for made_up in (text, f"{text}\ud800"):
        await office.refused(made_up)


async def test_tickets_are_long_and_differ(office: Office) -> None:
    """256 bits; no repr shows one, and none is kept."""
    ticket = await office.tickets.issue(ANN, HOME)
    assert len(ticket.text) == 43
    assert ticket.text != await office.issue()
    assert ticket.text not in repr(ticket)
    assert ticket.text not in repr(office.store.__dict__)
