"""Sends messages with a published tracking SDK, unmodified, and prints what it said.

Standard input and output are those of `track.js`. These SDKs have no word of success: a message
was delivered if a flush is over and no error was told of it.
"""

import json
import re
import sys
from datetime import datetime
from typing import Any

import rudderstack.analytics
import segment.analytics

SECONDS_MAX = 600
"""Of a request: a slow machine must not lose what an SDK gave up."""
CLIENTS = {"segment": segment.analytics.Client, "rudderstack": rudderstack.analytics.Client}


def main() -> None:
    """Send what standard input asks for."""
    order = json.load(sys.stdin)
    errors: dict[str, str] = {}

    def on_error(error: Exception, batch: list[dict[str, Any]]) -> None:
        errors.update((item["messageId"], str(error)) for item in batch)

    client = CLIENTS[order["sdk"]](
        order["key"], host=order["address"], on_error=on_error, timeout=SECONDS_MAX
    )
    queued = [_call(client, **message) for message in order["messages"]]
    client.shutdown()
    json.dump([errors.get(item["messageId"]) for item in queued], sys.stdout)


def _call(client: Any, *, type: str, timestamp: str, **message: Any) -> dict[str, Any]:  # noqa: A002
    """The message as the SDK queued it."""
    arguments = {
        re.sub("[A-Z]", lambda upper: f"_{upper[0].lower()}", name): value
        for name, value in message.items()
    }
    is_queued, queued = getattr(client, type)(
        timestamp=datetime.fromisoformat(timestamp), **arguments
    )
    assert is_queued
    return dict(queued)


main()
