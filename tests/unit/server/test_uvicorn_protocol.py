"""Tests how many connections are allowed where few files may be open."""

import pytest

from engagement.server.shares import HEALTH_CONNECTIONS
from engagement.server.uvicorn_protocol import DESCRIPTORS_RESERVED, ConnectionLimits
from engagement.settings import Settings


@pytest.mark.parametrize("descriptors_max", [1, 300, 1_024, 1_048_576])
def test_connections_leave_descriptors_for_the_rest(descriptors_max: int) -> None:
    limits = ConnectionLimits.of(Settings(), [], descriptors_max=descriptors_max)
    room = max(1, descriptors_max - DESCRIPTORS_RESERVED)

    assert limits.sockets_max == room
    connections_max = limits.connections._shares.total  # noqa: SLF001 - nothing else shows it
    assert connections_max == max(1, min(Settings().connections_max, room - HEALTH_CONNECTIONS))
