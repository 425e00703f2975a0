"""Records as a person looks at them, and what was counted of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engagement.model.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRecord:
    """A record of a history, as a person looks at it."""

    kind: Kind
    """What it reports."""
    at: datetime
    """When it happened."""
    device_id: str
    """The device that reported it."""
    user_id: str | None
    """The user whom it named."""
    name: str
    """Its name; of a session its id."""
    end: datetime | None
    """When it ended, if it lasted and that is known."""
    extras: str | None
    """Further values as JSON, or the stack of a crash."""
    received_at: datetime
    """When the service had it."""
    sequence: int
    """Its place among all that came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHistory:
    """Some of what a device did, the newest first."""

    records: Sequence[SeenRecord]
    """What it did."""
    older: str | None
    """Where earlier records begin; None if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopCounts:
    """What occurs most, counted in the newest rows of a range."""

    rows: Sequence[tuple[tuple[str, ...], int]]
    """Each with how often; what is not known is an empty text."""
    counted: int
    """Rows that were looked at."""
    total: int
    """Rows that there are."""
