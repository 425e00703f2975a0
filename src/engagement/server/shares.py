"""Shares out what the server has little of: connections, and requests under way."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

from engagement.server.client_addresses import Sender

HEALTH_CONNECTIONS = 32
"""Connections beyond all shares, on which only the paths of health are answered."""


class Shares:
    """How much of something is taken, by each address, by each network and in all."""

    def __init__(self, total: int, *, address_percent: int, network_percent: int) -> None:
        self.total = total
        """How much there is."""
        self._address_max = max(1, total * address_percent // 100)
        self._network_max = max(1, total * network_percent // 100)
        self._by_address: Counter[str] = Counter()
        self._by_network: Counter[str] = Counter()
        self.taken = 0
        """How much is taken."""

    def has_room(self, sender: Sender) -> bool:
        """Whether a sender may take one more."""
        return self.taken < self.total and not self.is_used_up(sender)

    def is_used_up(self, sender: Sender) -> bool:
        """Whether a sender has all of its share, whatever others leave."""
        return (
            self._by_address[sender.address] >= self._address_max
            or self._by_network[sender.network] >= self._network_max
        )

    def take(self, sender: Sender) -> None:
        """Count one more."""
        self.taken += 1
        self._by_address[sender.address] += 1
        self._by_network[sender.network] += 1

    def give_back(self, sender: Sender) -> None:
        """Count one less."""
        self.taken -= 1
        for counts, name in (
            (self._by_address, sender.address),
            (self._by_network, sender.network),
        ):
            counts[name] -= 1
            if counts[name] <= 0:
                del counts[name]

    def heaviest_network(self) -> str:
        """The network that has taken most; there must be one."""
        return self._by_network.most_common(1)[0][0]


class ConnectionShares:
    """Admits connections; when all are taken, whoever holds most of them makes room."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._open: OrderedDict[Hashable, tuple[Sender, Callable[[], bool]]] = OrderedDict()
        self._reserved: OrderedDict[Hashable, Callable[[], bool]] = OrderedDict()

    def admit(
        self, connection: Hashable, sender: Sender, close_if_idle: Callable[[], bool]
    ) -> bool:
        """Return whether a connection is within its sender's share.

        One that is not is kept for a request about health, the oldest such making room.

        Args:
            connection: The connection.
            sender: Whose share it takes.
            close_if_idle: Closes the connection unless a request is under way on it; whether it
                did.
        """
        is_full = self._shares.taken >= self._shares.total
        if is_full and not self._shares.is_used_up(sender):
            self._make_room()
        if self._shares.has_room(sender):
            self._shares.take(sender)
            self._open[connection] = (sender, close_if_idle)
            return True
        if len(self._reserved) >= HEALTH_CONNECTIONS:
            for oldest, close in list(self._reserved.items()):
                if close():
                    self._reserved.pop(oldest, None)
                    break
        self._reserved[connection] = close_if_idle
        return False

    def leave(self, connection: Hashable) -> None:
        """Count a connection no more."""
        self._reserved.pop(connection, None)
        found = self._open.pop(connection, None)
        if found is not None:
            self._shares.give_back(found[0])

    def _make_room(self) -> None:
        """Close the oldest connection on which nothing is under way of the heaviest network."""
        heaviest = self._shares.heaviest_network()
        for connection, (sender, close_if_idle) in list(self._open.items()):
            if sender.network == heaviest and close_if_idle():
                self.leave(connection)
                return
