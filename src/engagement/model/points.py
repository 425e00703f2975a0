"""What charts are drawn from: counts and levels at steps of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

EVERYWHERE = ""
"""The scope of what is about all apps together; else a scope is an app's id."""
MINUTE, HOUR, DAY = 60, 3_600, 86_400
STEPS = (MINUTE, HOUR, DAY)
"""Seconds of the steps that are kept, all counted at once, so that nothing has to be rolled up."""
ALIVE = "alive"
"""Counts the minutes in which somebody counted: where there is none, a chart has a gap."""
ACCEPTED, REFUSED = "accepted.", "refused."
"""Begin the series of records by kind, and of refusals by code."""
LAG, INBOX, DISK, LAKE = "lag", "inbox", "disk", "lake"
EXPORTS = "exports."
DELIVERED_ROWS, DELIVERED_BYTES = "delivered.rows", "delivered.bytes"
LEVELS = frozenset({LAG, INBOX, DISK, LAKE, "exports.running"})
"""Series whose value is the highest of a step; the others add up."""
CODES_MAX = 40
"""Codes of refusals that have a series of their own."""


class ChartRange(StrEnum):
    """How far back a chart looks."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"

    @property
    def span(self) -> timedelta:
        """How far."""
        return _RANGES[self][0]

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return _RANGES[self][1]

    @property
    def kept_step(self) -> int:
        """Seconds of the kept steps that the points are made of."""
        return max(step for step in STEPS if step <= self.step)


_RANGES: Mapping[ChartRange, tuple[timedelta, int]] = {
    ChartRange.HOUR: (timedelta(hours=1), MINUTE),
    ChartRange.DAY: (timedelta(days=1), 5 * MINUTE),
    ChartRange.WEEK: (timedelta(days=7), HOUR),
    ChartRange.MONTH: (timedelta(days=30), 6 * HOUR),
    ChartRange.QUARTER: (timedelta(days=90), DAY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartPoint:
    """What was counted of a series in a step."""

    scope: str
    """An app's id, or `EVERYWHERE`."""
    series: str
    """What was counted."""
    at: int
    """Begin of the step, in seconds since 1970."""
    sum: int
    """All of it."""
    high: int
    """The highest that was seen at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Some series over the same moments."""

    step: int
    """Seconds between two moments."""
    at: Sequence[int]
    """The moments, in seconds since 1970."""
    series: Mapping[str, Sequence[int | None]]
    """Of each series a value for each moment; None where nobody counted."""
