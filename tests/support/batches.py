"""Writes batches as devices send them, one log of a type at a time."""

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

from engagement.model.instants import format_rfc3339
from engagement.testing import NOON, make_batch

NOW = NOON

DAY = date(2026, 2, 20)

DEVICES = tuple(f"{number:x}" * 32 for number in range(1, 9))

_numbers = itertools.count(1)


def batch(
    *logs: dict[str, Any], device: str = DEVICES[0], batch_id: str | None = None, **more: Any
) -> bytes:
    """A batch as a device sends it; its id is new unless given."""
    return make_batch(
        *logs, device_id=device, batch_id=batch_id or f"batch-{next(_numbers)}", **more
    )


def at(seconds: float = 0, *, day: date = DAY, hour: int = 10) -> str:
    """A time of the day as a device writes it."""
    instant = datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(seconds=seconds)
    return format_rfc3339(instant)


def log(kind: str, seconds: float = 0, *, day: date = DAY, **fields: Any) -> dict[str, Any]:
    """A log of a type, with a name where the type has one."""
    named = {} if kind in {"tags", "token", "feedback"} else {"name": f"{kind} name"}
    return {"type": kind, "timestamp": at(seconds, day=day), **named, **fields}


def feedback(seconds: float, campaign: int, status: str) -> dict[str, Any]:
    """A feedback of a poll."""
    return log("feedback", seconds, campaignType="Poll", campaignId=campaign, status=status)


def everything(number: int, *, device: str = DEVICES[0], day: date = DAY) -> bytes:
    """A batch with logs of every type, told apart by a number."""
    seconds = number * 7.0
    return batch(
        log("activity", seconds, day=day, end=at(seconds + 3, day=day), extras={"n": number}),
        log("activity", seconds + 4, day=day, sessionId=f"session-{number}"),
        log("event", seconds, day=day, sessionId=f"session-{number}", extras={"quote": '"\n'}),
        log("event", seconds + 1, day=day),
        log("error", seconds, day=day, jobId=f"job-{number}-{day}"),
        log("crash", seconds, day=day, stack="at main\n\tat start"),
        log("job", seconds, day=day, jobId=f"job-{number}-{day}", end=at(seconds + 9, day=day)),
        log("tags", seconds, day=day, tags={"number": number, "gone": None}),
        log("token", seconds, day=day, token=f"token-{number}", tokenType="GCM"),
        feedback(seconds, 1 + number % 3, "Queued"),
        batch_id=f"everything-{number}-{device}-{day}",
        device=device,
        userId=f"user {number}",
        info={"phoneModel": f"model {number}", "screenWidth": number},
        location={"countryCode": "FI"},
    )
