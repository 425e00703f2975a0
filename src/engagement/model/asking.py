"""This module turns what a user names, typed or in a program, into a request or a clear refusal."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import TypedDict, TypeVar

from engagement.exceptions import InvalidExportError
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
    TimeRange,
)

Choice = TypeVar("Choice", bound=StrEnum)


class ExportOptions(TypedDict, total=False):
    """What may be asked of an export besides its type; the command line has the same options."""

    export_format: ExportFormat | str
    """JsonBlob if absent."""
    compression: Compression | str
    """none if absent."""
    start: date | datetime
    """Start of the range, or of Push's feedback window: a UTC day, or an aware date-time."""
    end: date | datetime
    """The last UTC day, or the first instant outside."""
    time_axis: TimeAxis | str
    """What the range is about: event, or received."""
    event_names: Sequence[str]
    """Only records with one of these names."""
    columns: Sequence[str]
    """Only these fields."""
    as_of: datetime
    """Snapshots: the state as it was known at this instant."""
    campaign_type: CampaignType | str
    """Push: the type of the campaigns."""
    campaign_ids: Sequence[int]
    """Push: the campaigns, instead of a window."""
    include_user_id: bool
    """Adds `userId` where it is known."""
    csv_formula_guard: bool
    """CsvBlob: defuses values that a spreadsheet would run."""
    description: str
    """Your own words about the task."""


def request_of(
    app_id: str, export_type: ExportType | str, container_url: str, options: ExportOptions
) -> ExportRequest:
    """The request that the options make.

    Raises:
        InvalidExportError: A value is not known, or they do not go together.
    """
    campaign_type, as_of = options.get("campaign_type"), options.get("as_of")
    return ExportRequest(
        app_id=app_id,
        export_type=choice(ExportType, export_type, what="export type"),
        export_format=choice(
            ExportFormat, options.get("export_format", ExportFormat.JSON), what="export format"
        ),
        compression=choice(
            Compression, options.get("compression", Compression.NONE), what="compression"
        ),
        container_url=container_url,
        time_range=_range(options.get("start"), options.get("end")),
        time_axis=choice(TimeAxis, options.get("time_axis", TimeAxis.EVENT), what="time axis"),
        event_names=tuple(options.get("event_names", ())),
        columns=tuple(options.get("columns", ())),
        campaign_type=None
        if campaign_type is None
        else choice(CampaignType, campaign_type, what="campaign type"),
        campaign_ids=tuple(options.get("campaign_ids", ())),
        as_of=None if as_of is None else _utc(as_of),
        include_user_id=options.get("include_user_id", False),
        csv_formula_guard=options.get("csv_formula_guard", False),
        description=options.get("description", ""),
    )


def choice(kind: type[Choice], text: str, *, what: str) -> Choice:
    """The member that a word names, by its value or its name, in any case.

    Raises:
        InvalidExportError: It names none.
    """
    for one in kind:
        if text.lower() in {one.value.lower(), one.name.lower()}:
            return one
    wanted = ", ".join(one.value for one in kind)
    raise InvalidExportError(f"The {what} must be one of {wanted}, got {text!r}.")


def _range(start: date | None, end: date | None) -> TimeRange | None:
    """Days mean whole UTC days, both included; a date-time as the end is the first outside."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InvalidExportError("A range needs a start and an end, got only one of them.")
    if not isinstance(start, datetime) and not isinstance(end, datetime):
        return TimeRange.of_days(start, end)
    return TimeRange(
        start=_utc(start) if isinstance(start, datetime) else datetime.combine(start, time(0), UTC),
        end=_utc(end) if isinstance(end, datetime) else TimeRange.of_days(end, end).end,
    )


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InvalidExportError(f"A date-time needs its offset from UTC, got {instant!r}.")
    return instant.astimezone(UTC)
