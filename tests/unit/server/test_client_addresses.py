"""Tests that a sender is told by its address and network, and by trusted proxies alone."""

import pytest

from engagement.server.client_addresses import TrustedProxies, sender_at

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8::ffff:0:1", "2001:db8::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_an_address_is_of_a_network(address: str, network: str) -> None:
    assert sender_at(address).network == network


def test_rates_count_an_address_or_an_ipv6_network() -> None:
    addresses = ("192.0.2.77", "::ffff:192.0.2.77", "2001:db8::1", "2001:db8::2", "unix:", "")
    charged = [sender_at(address).charged for address in addresses]

    assert charged[:4] == ["192.0.2.77", "192.0.2.77", "2001:db8::/64", "2001:db8::/64"]
    assert charged[4:] == ["unix:", ""]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::5]:4711"], "2001:db8::5"),
        ("10.0.0.1", ["2001:db8::5"], "2001:db8::5"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_alone_says_whom_it_forwards(
    peer: str, forwarded: list[str], found: str
) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]

    assert PROXIES.sender_of(peer, headers).address == found
