"""Reads what a server's answer means for the batch that it got."""

import json
from collections import Counter
from dataclasses import dataclass

from engagement.agent.queue import Loss
from engagement.model.http import retry_after_seconds

ACCEPTED = 202
UNACCEPTABLE_STATUSES = frozenset({400, 413, 415, 422})
"""The server has read the batch and will never accept it."""
_CODE_CHARACTERS_MAX = 64
_MESSAGE_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The batch is kept by the server."""

    losses: tuple[Loss, ...]
    """The records of it that the server refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacceptable:
    """No server will ever accept the batch."""

    loss: Loss
    """All of its records, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """The server may not have the batch, so it must be sent again.

    A wrong key or address, a proxy that asks to log in and a server that is being set up count
    too: they say nothing about the batch, and somebody will put them right.
    """

    reason: str
    """What happened, for the log entry."""
    seconds: float | None = None
    """How long the server wants to be left alone, if it says so."""


BatchOutcome = Accepted | Unacceptable | Unanswered


def read_outcome(status: int, retry_after: str, body: bytes, *, records: int) -> BatchOutcome:
    """Return what an answer means for a batch.

    Args:
        status: The answer's HTTP status.
        retry_after: Its Retry-After header, empty if there is none.
        body: Its body.
        records: How many records the batch has.
    """
    if status == ACCEPTED and (losses := _read_losses(body)) is not None:
        return Accepted(losses=losses)
    if status in UNACCEPTABLE_STATUSES:
        code = f"batch_refused_{status}"
        message = _read_message(body) or f"The server did not say why, only {status}."
        return Unacceptable(loss=Loss(code=code, logs=records, message=message))
    return Unanswered(reason=f"HTTP {status}", seconds=retry_after_seconds(retry_after))


def _read_losses(body: bytes) -> tuple[Loss, ...] | None:
    """The refused records that an answer lists; None if it is not one of our server's."""
    try:
        answer = json.loads(body)
        int(answer["accepted"])
        messages = {
            str(item["code"])[:_CODE_CHARACTERS_MAX]: str(item["message"])[:_MESSAGE_CHARACTERS_MAX]
            for item in answer["refused"]
        }
        counts = Counter(str(item["code"])[:_CODE_CHARACTERS_MAX] for item in answer["refused"])
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return tuple(
        Loss(code=code, logs=counts[code], message=message) for code, message in messages.items()
    )


def _read_message(body: bytes) -> str:
    """The message of an error's body, or its beginning if it has another shape."""
    try:
        return str(json.loads(body)["error"]["message"])[:_MESSAGE_CHARACTERS_MAX]
    except (LookupError, TypeError, ValueError, RecursionError):
        return body.decode(errors="replace")[:_MESSAGE_CHARACTERS_MAX]
