"""Sends a request again where that may help, with waits that are bounded."""

from secrets import SystemRandom

from engagement.client.refusals import UNAVAILABLE_STATUSES
from engagement.client.steps import Answer, Lost, Pause, Send, Steps
from engagement.model.servers import retry_after_seconds

WAIT_SECONDS_FIRST = 0.5
WAIT_SECONDS_MAX = 10.0
RETRY_AFTER_SECONDS_MAX = 90.0
"""A server that asks for a longer wait gets its refusal told to the caller instead."""
_REPEATED_STATUSES = UNAVAILABLE_STATUSES | {429}
_dice = SystemRandom()


def send_repeatedly(send: Send, *, retries: int) -> Steps[tuple[Answer | Lost, bool]]:
    """The last outcome, and whether an earlier try may have been carried out.

    Args:
        send: A request that may be repeated without harm.
        retries: How often to repeat it at most.
    """
    is_unsure = False
    for attempt in range(retries + 1):
        outcome: Answer | Lost = yield send
        wait = _wait_seconds(outcome, attempt)
        if wait is None or attempt == retries:
            break
        is_unsure = is_unsure or isinstance(outcome, Lost) or outcome.status in UNAVAILABLE_STATUSES
        yield Pause(seconds=wait)
    return outcome, is_unsure


def _wait_seconds(outcome: Answer | Lost, attempt: int) -> float | None:
    """How long to wait before the next try; None if there should be none."""
    if isinstance(outcome, Answer):
        if outcome.status not in _REPEATED_STATUSES:
            return None
        asked = retry_after_seconds(outcome.headers.get("retry-after", ""))
        if asked is not None:
            return asked if asked <= RETRY_AFTER_SECONDS_MAX else None
    longest = min(WAIT_SECONDS_MAX, WAIT_SECONDS_FIRST * 2.0**attempt)
    # Clients that failed together must not come again together.
    return _dice.uniform(longest / 2, longest)
