"""One-time tickets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codes import CloseCode, ErrorCode
from server.auth.options import Options
from server.auth.principal import Principal
from server.auth.tickets import Tickets
from server.auth.tokens import TokenRefused
from server.errors import ChatError
from tests.support.people import person

ANN, BOB = person("ann"), person("bob", tenant="acme")
HOME = "https://chat.example"


class Office:
    """Tickets, and time that passes when the test says so."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.options = Options(**options)
        self.tickets = Tickets(
            self.options, clock=lambda: self.now, wall_clock=lambda: self.now + 1_790_000_000
        )

    def issue(self, who: Principal = ANN, origin: str | None = HOME) -> str:
        return self.tickets.issue(who, origin).text

    def refused(self, text: str, origin: str | None = HOME) -> TokenRefused:
        with pytest.raises(TokenRefused) as caught:
            self.tickets.redeem(text, origin)
        assert caught.value.close is CloseCode.UNAUTHENTICATED
        return caught.value

    def too_many(self, who: Principal = ANN) -> ChatError:
        with pytest.raises(ChatError) as caught:
            self.issue(who)
        return caught.value


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_ticket_lets_in_once_who_asked_for_it(office: Office) -> None:
    """The second time is to be written down, with whose it was."""
    text, other = office.issue(), office.issue(BOB)
    assert office.tickets.redeem(text, HOME) == ANN
    assert office.refused(text).replayed == ANN.owner
    assert office.tickets.redeem(other, HOME) == BOB


def test_a_ticket_is_good_for_thirty_seconds(office: Office) -> None:
    """It says so."""
    ticket = office.tickets.issue(ANN, HOME)
    assert ticket.expires_at == office.now + 1_790_000_000 + 30
    late = office.issue()
    office.now += 29.9
    assert office.tickets.redeem(ticket.text, HOME) == ANN
    office.now += 0.1
    assert office.refused(late).replayed is None
    assert office.refused(ticket.text).replayed is None


def test_a_ticket_is_bound_to_its_origin_and_spent_by_any_other(office: Office) -> None:
    """None is one too; another spelling is the same."""
    for given_to, shown_by in ((HOME, "https://evil.example"), (HOME, None), (None, HOME)):
        text = office.issue(origin=given_to)
        office.refused(text, shown_by)
        office.refused(text, given_to)
    assert office.tickets.redeem(office.issue(), "HTTPS://Chat.Example:443") == ANN
    assert office.tickets.redeem(office.issue(origin=None), None) == ANN


def test_nobody_holds_more_than_a_few(office: Office) -> None:
    """Who waits until the oldest ends gets another one."""
    office = Office(tickets_per_user=2)
    office.issue()
    office.now += 10
    text = office.issue()
    refusal = office.too_many()
    assert (refusal.code, refusal.retry_after_ms) == (ErrorCode.RATE_LIMITED, 20_000)
    assert office.issue(BOB)
    office.now += 20
    assert office.issue()
    assert office.too_many().code is ErrorCode.RATE_LIMITED
    assert office.tickets.redeem(text, HOME) == ANN


def test_a_used_ticket_is_held_no_longer() -> None:
    """Who uses each at once gets as many as they like; one that went astray is used too."""
    office = Office(tickets_per_user=1)
    for _ in range(3):
        office.tickets.redeem(office.issue(), HOME)
    office.refused(office.issue(), "https://evil.example")
    office.issue()
    office.too_many()
    office.now += 30
    office.issue()
    office.too_many()
    assert office.tickets._held == {ANN.owner: 1}


def test_those_in_all_are_those_that_are_out() -> None:
    """Who uses many keeps nobody else from one, and no more used ones than that are remembered."""
    office = Office(tickets=2)
    used = []
    for _ in range(5):
        used.append(office.issue())
        office.tickets.redeem(used[-1], HOME)
    office.issue(BOB)
    assert len(office.tickets._used) == 2
    assert [office.refused(text).replayed for text in used[-2:]] == [ANN.owner] * 2
    assert office.refused(used[0]).replayed is None


def test_in_all_there_are_no_more_than_so_many(office: Office) -> None:
    """However many persons ask."""
    office = Office(tickets=3)
    for number in range(3):
        office.issue(person(f"u{number}"))
    refusal = office.too_many()
    assert (refusal.code, refusal.retry_after_ms) == (ErrorCode.OVERLOADED, 30_000)
    office.now += 30
    assert office.issue()
    assert len(office.tickets._issued) == len(office.tickets._held) == 1


@given(st.text())
def test_any_text_is_refused_that_was_not_handed_out(text: str) -> None:
    """Also one with half a pair."""
    office = Office()
    office.issue()
    for made_up in (text, f"{text}\ud800"):
        office.refused(made_up)


def test_tickets_are_long_and_differ(office: Office) -> None:
    """256 bits; no repr shows one, and none is kept."""
    ticket = office.tickets.issue(ANN, HOME)
    assert len(ticket.text) == 43
    assert ticket.text != office.issue()
    assert ticket.text not in repr(ticket)
    assert ticket.text not in repr(office.tickets._issued)
