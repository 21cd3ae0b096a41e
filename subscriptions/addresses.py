"""Which IP addresses an outgoing request may reach. Pure arithmetic, no look-ups."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# `is_global` alone would let these through (IANA special-purpose registries, RFC 6890 and its
# successors).
_RESERVED_4 = [
    IPv4Network(cidr)
    for cidr in ("192.88.99.0/24", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4", "100.64.0.0/10")
]
_RESERVED_6 = [
    IPv6Network(cidr)
    for cidr in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64, well-known prefix
        "64:ff9b:1::/48",  # NAT64, local prefix
        "100::/64",  # discard only
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
]


def parse_address(text: str) -> Address | None:
    """Return the address that the text is, a zone (`%eth0`) left out; None if it is a name."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def is_allowed(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether the address is public, or in one of the networks allowed by setting."""
    if any(address in network for network in allowed if network.version == address.version):
        return True
    if not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _RESERVED_4)
    return not any(address in network for network in _RESERVED_6)
