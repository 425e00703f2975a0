"""Refused records, and chooses among them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class SenderProtocol(StrEnum):
    """How a sender writes what it reports."""

    NATIVE = "native"
    TRACKING = "tracking"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEntry:
    """A refused record as a list shows it."""

    app_id: str
    """The app it was sent to."""
    protocol: SenderProtocol
    """How it is written."""
    received_at: datetime
    """When it was received, in UTC; a replay corrects the device's clock by it."""
    batch_id: str | None
    """The id of the batch that its body is; None where none could be read."""
    code: str
    """Why it was refused, as a stable word."""
    message: str
    """Why it was refused, in a sentence."""
    refused_id: int = 0
    """Its place in the order of refusal; given by the database."""

    def __post_init__(self) -> None:
        if self.received_at.tzinfo is None:
            raise ValueError("received_at must have an offset, got none.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord(RefusedEntry):
    """A record that was not accepted, kept so that it can be looked at and replayed."""

    body: bytes = field(repr=False)
    """What can be sent again by itself to be accepted in its stead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFilter:
    """Which refused records are meant; all, where nothing is chosen."""

    app_id: str | None = None
    """Only those of this app."""
    code: str | None = None
    """Only those refused for this reason."""
    protocol: SenderProtocol | None = None
    """Only those written so."""
    refused_ids: tuple[int, ...] = ()
    """Only these, if any are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCount:
    """How many records of an app were refused for one reason."""

    app_id: str
    """The app."""
    code: str
    """The reason."""
    records: int
    """How many there are."""
    bytes: int
    """What their bodies take."""
