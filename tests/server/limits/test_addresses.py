"""What counts as one address."""

import pytest

from server.limits.addresses import network


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_address_is_what_one_customer_cannot_change(peer: str, counted: str) -> None:
    """Whoever has an IPv6 address has 2⁶⁴ of them."""
    assert network(peer) == counted
