"""Tells who a request comes from: an address and its network, behind trusted proxies too."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

IPV4_PREFIX, IPV6_PREFIX = 24, 64
"""Bits of the network that an address belongs to, which is often one sender's."""

Headers = Iterable[tuple[bytes, bytes]]


class Sender(NamedTuple):
    """Whoever shares are counted of."""

    address: str
    """An IP address, or another text that tells where a connection comes from."""
    network: str
    """The network of the address."""

    @property
    def charged(self) -> str:
        """Whom rates and turns count: an IPv6 network is one sender's, with addresses at will."""
        return self.network if ":" in self.address else self.address


@lru_cache(maxsize=8_192)
def sender_at(address: str) -> Sender:
    """Return whoever has an address; an IPv4 address that is mapped into IPv6 is itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return Sender(address, address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = IPV4_PREFIX if parsed.version == 4 else IPV6_PREFIX  # noqa: PLR2004 - a version of IP
    return Sender(str(parsed), str(ipaddress.ip_network((parsed, prefix), strict=False)))


class TrustedProxies:
    """The proxies that are believed whom they forward."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(sender_at(address).address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def sender_of(self, peer: str, headers: Headers) -> Sender:
        """Return whoever sent a request: the last in `X-Forwarded-For` that is no trusted proxy.

        What the header says before that may be anybody's invention.

        Args:
            peer: The other end of the connection.
            headers: The request's, names in lower case.
        """
        if peer not in self:
            return sender_at(peer)
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for text in reversed(forwarded.decode("latin-1").split(",")):
            address = _address_in(text.strip())
            if address is None:
                break
            if address not in self:
                return sender_at(address)
        return sender_at(peer)


def _address_in(text: str) -> str | None:
    """An IP address, which proxies write with a port too."""
    host = text.rsplit(":", 1)[0] if text.count(":") == 1 else text
    if text.startswith("["):
        host = text[1:].split("]", 1)[0]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
