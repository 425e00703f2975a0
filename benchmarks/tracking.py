"""Measures how fast one core makes batches of the bodies of tracking messages.

python -m benchmarks.tracking BODIES
"""

import json
import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta

from engagement.collect.protocols.segment.messages import read_messages

MESSAGES_PER_BODY = 100
RECEIVED_AT = datetime(2026, 2, 1, tzinfo=UTC)
SEPARATORS = {"compact": (",", ":"), "spaced": (", ", ": ")}
"""What JavaScript and mobile SDKs put between values, and what Python's do."""


def main() -> None:
    """Print messages a second, and bytes a message, for each way to write JSON."""
    os.sched_setaffinity(0, {0})
    measured: dict[str, float] = {}
    for name, separators in SEPARATORS.items():
        bodies = [
            json.dumps(_body(number), separators=separators).encode()
            for number in range(int(sys.argv[1]))
        ]
        messages = len(bodies) * MESSAGES_PER_BODY
        begin = time.perf_counter()
        for body in bodies:
            found = read_messages(body, received_at=RECEIVED_AT)
            assert sum(batch.accepted for batch in found.batches()) == MESSAGES_PER_BODY
        measured[f"{name}_per_second"] = messages / (time.perf_counter() - begin)
        measured[f"{name}_message_bytes"] = sum(map(len, bodies)) / messages
    sys.stdout.write(json.dumps(measured) + "\n")


def _body(number: int) -> dict[str, object]:
    dice = random.Random(number)  # noqa: S311 - data, not secrets
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(80_000))
    context = {
        "device": {"id": f"{dice.getrandbits(64):x}", "model": "Pixel 8", "type": "android"},
        "os": {"name": "Android", "version": "14"},
        "app": {"name": "Shop", "version": "1.2", "build": "3"},
        "network": {"cellular": False, "wifi": True},
        "locale": "fr-FR",
        "timezone": "Europe/Paris",
        "screen": {"width": 1080, "height": 2400},
        "library": {"name": "analytics-kotlin", "version": "1.24.1"},
    }
    batch = [
        {
            "type": "track",
            "event": f"Purchase {dice.randrange(50)}",
            "messageId": f"{dice.getrandbits(128):032x}",
            "anonymousId": "507f191e810c19729de860ea",
            "userId": "u1",
            "timestamp": (start + timedelta(seconds=place)).isoformat(timespec="milliseconds"),
            "properties": {"price": place, "title": "shoes", "ok": True, "rate": 1.5},
            "context": context,
            "integrations": {},
        }
        for place in range(MESSAGES_PER_BODY)
    ]
    return {"batch": batch, "writeKey": "key", "sentAt": "2026-01-02T00:00:00.000Z"}


if __name__ == "__main__":
    main()
