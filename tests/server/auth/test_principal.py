"""Who a credential speaks for."""

from storage.values import Owner
from tests.support.people import person


def test_a_principal_reaches_the_rows_of_its_own_and_shows_no_name() -> None:
    """Its repr may end up in a log."""
    ann = person("ann", tenant="acme", name="Ann Example", email="ann@acme.example")
    assert ann.owner == Owner("acme", "ann")
    assert repr(ann) == "Principal('acme', 'ann', user, free)"
