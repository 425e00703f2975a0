"""Which export tasks a list shows."""

from dataclasses import dataclass
from datetime import datetime

from engagement.model.exports import ExportState, ExportType, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFilter:
    """Which tasks a list is about; what is empty or None leaves none out."""

    app_ids: tuple[str, ...] | None = None
    """Of these apps."""
    states: tuple[ExportState, ...] = ()
    """In one of these states."""
    types: tuple[ExportType, ...] = ()
    """Of one of these types."""
    created_from: datetime | None = None
    """Created at this instant or later."""
    created_before: datetime | None = None
    """Created before this instant."""
    ended_from: datetime | None = None
    """Ended at this instant or later."""
    ended_before: datetime | None = None
    """Ended before this instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """A part of a task's plan, and what is known of it."""

    index: int
    """Its place in the plan."""
    rows_planned: int | None
    """Rows it is to hold."""
    receipt: Receipt | None
    """What it proved to be, once it is delivered."""
