"""Messages between a server's process and its worker, each one JSON object."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from engagement.exceptions import EngagementError, decode_error, encode_error

BEAT = b"beat"
"""The message by which a worker says that it lives."""
BEAT_SECONDS = 1.0
"""How often it says so."""
CHECK = "check"
"""The worker is asked for nothing but a reply."""
STOP = "stop"
"""What the worker is asked for at last; it sends no reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A piece of work that the worker is asked for."""

    number: int
    """Its number, which the reply repeats."""
    do: str
    """What to do."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """With what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a request."""

    number: int | None
    """The request's number; None in the first message of a worker, which has started or failed."""
    result: int = 0
    """What came out of it."""
    report: Mapping[str, int] = field(default_factory=dict)
    """What an operation of upkeep did, by the names of its counts."""
    error: EngagementError | None = None
    """Why nothing did; it has the class and code that it was raised with."""


def encode_request(request: Request) -> bytes:
    """Return the message of a request."""
    content = {
        "number": request.number,
        "do": request.do,
        "arguments": dict(request.arguments),
    }
    return json.dumps(content).encode()


def decode_request(message: bytes) -> Request:
    """Return the request of a message."""
    content = json.loads(message)
    return Request(
        number=content["number"], do=content["do"], arguments=content.get("arguments", {})
    )


def encode_reply(reply: Reply) -> bytes:
    """Return the message of a reply."""
    content: dict[str, object] = {"number": reply.number}
    if reply.error is None:
        content |= {"result": reply.result, "report": dict(reply.report)}
    else:
        content["error"] = encode_error(reply.error)
    return json.dumps(content).encode()


def decode_reply(message: bytes) -> Reply:
    """Return the reply of a message."""
    content = json.loads(message)
    error = content.get("error")
    return Reply(
        number=content["number"],
        result=content.get("result", 0),
        report=content.get("report", {}),
        error=None if error is None else decode_error(error),
    )
