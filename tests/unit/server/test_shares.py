"""Tests that no address and no network can take what others need."""

from engagement.server.client_addresses import Sender, sender_at
from engagement.server.shares import HEALTH_CONNECTIONS, ConnectionShares, Shares

TOTAL = 40


def shares() -> Shares:
    return Shares(TOTAL, address_percent=25, network_percent=50)


def take_all(of: Shares, sender: Sender) -> int:
    """How many one sender can take."""
    taken = 0
    while of.has_room(sender):
        of.take(sender)
        taken += 1
    return taken


def test_an_address_and_a_network_have_a_share_each() -> None:
    found = shares()

    takes = [take_all(found, sender_at(f"192.0.2.{number}")) for number in range(4)]
    others = [take_all(found, sender_at(f"198.51.{number}.1")) for number in range(3)]

    assert takes == [10, 10, 0, 0]
    assert others == [10, 10, 0]


def test_what_is_given_back_can_be_taken_again() -> None:
    found, sender = shares(), sender_at("192.0.2.1")
    take_all(found, sender)
    for _ in range(10):
        found.give_back(sender)

    assert found.taken == 0
    assert take_all(found, sender) == 10


class Connections:
    """Connections that are told apart by numbers."""

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.busy: set[int] = set()
        self._all = ConnectionShares(shares())
        self._last = 0

    def open(self, address: str) -> bool:
        """Whether a further connection is within its share."""
        self._last += 1
        number = self._last

        def close_if_idle() -> bool:
            if number not in self.busy:
                self.closed.append(number)
            return number not in self.busy

        return self._all.admit(number, sender_at(address), close_if_idle)


def test_when_all_are_taken_the_heaviest_network_makes_room() -> None:
    connections = Connections()
    for address in ("192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1"):
        assert all(connections.open(address) for _ in range(10))
    connections.busy.add(1)

    assert connections.open("100.64.0.1")
    assert connections.closed == [2], "the oldest on which nothing is under way"


def test_beyond_its_share_an_address_has_but_a_few_for_health() -> None:
    connections = Connections()
    found = [connections.open("192.0.2.1") for _ in range(10 + HEALTH_CONNECTIONS)]
    assert found == [True] * 10 + [False] * HEALTH_CONNECTIONS
    assert connections.closed == []

    assert not connections.open("192.0.2.1")
    assert connections.closed == [11], "the oldest of those makes room"
    assert connections.open("192.0.2.2"), "others are not touched by it"
