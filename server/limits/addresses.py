"""What counts as one address."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

IPV6_PREFIX = 64  # what one customer has at least, to take addresses from as they like


@lru_cache(maxsize=4096)
def network(peer: str) -> str:
    """An IPv4 address, or an IPv6 network; what is neither (a Unix socket) as it is."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
