"""Decides whether a request is sent again, and after how long."""

from secrets import SystemRandom

from engagement.client.refusals import UNAVAILABLE_STATUSES
from engagement.client.responses import HttpResponse
from engagement.model.http import retry_after_seconds

WAIT_SECONDS_FIRST = 0.5
WAIT_SECONDS_MAX = 10.0
RETRY_AFTER_SECONDS_MAX = 90.0
"""Where a server asks for a longer wait, the caller gets its refusal instead."""
_REPEATED_STATUSES = UNAVAILABLE_STATUSES | {429}
_dice = SystemRandom()


def repeat_seconds(response: HttpResponse, attempt: int) -> float | None:
    """Return how long to wait before the next try; None if there should be none."""
    if response.status not in _REPEATED_STATUSES:
        return None
    seconds = retry_after_seconds(response.headers.get("retry-after", ""))
    if seconds is not None:
        return seconds if seconds <= RETRY_AFTER_SECONDS_MAX else None
    return backoff_seconds(attempt)


def backoff_seconds(attempt: int) -> float:
    """Return a wait that grows with the tries, at random: clients that failed together part."""
    longest = min(WAIT_SECONDS_MAX, WAIT_SECONDS_FIRST * 2.0**attempt)
    return _dice.uniform(longest / 2, longest)
