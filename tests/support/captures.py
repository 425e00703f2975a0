"""Reads requests that real tracking SDKs made; they are not part of the repository."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.checkout import SHARED

CAPTURES = SHARED / "ingest-captures.jsonl"
CLIENTS = {
    "segment-analytics-python": 2,
    "@segment/analytics-node": 2,
    "@rudderstack/rudder-sdk-node": 2,
    "rudder-sdk-python": 1,
}
"""How many requests each client of this protocol sent."""

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_file(), reason="needs ../shared, which holds the real requests"
)


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each request of a client of this protocol, its body expanded, with the client's name."""
    client = ""
    for line in CAPTURES.read_text().splitlines():
        capture = json.loads(line)
        client = capture.get("mark", client)
        if client in CLIENTS and "mark" not in capture:
            yield client, capture
