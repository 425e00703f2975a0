"""What a client asks of an export; an impossible request cannot be built."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engagement.exceptions import InvalidExportError
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
    TimeRange,
)

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a character, which is none by itself; no encoding of Unicode has it."""
EVENT_NAMES_MAX = 100
EVENT_NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What a client asks for; impossible ones cannot be built."""

    app_id: str
    """The app whose records are exported."""
    export_type: ExportType
    """What to deliver."""
    export_format: ExportFormat
    """How rows are written."""
    compression: Compression = Compression.NONE
    """How parts are compressed."""
    container_url: str = field(default="", repr=False)
    """Where to deliver, with the credential to write; a secret. Only an estimate needs none."""
    time_range: TimeRange | None = None
    """Which records of a historical type, or which campaigns' feedback (Push)."""
    time_axis: TimeAxis = TimeAxis.EVENT
    """Historical types: whether the range is about when it happened or when it was received."""
    event_names: tuple[str, ...] = ()
    """Types whose records have a name: only records with one of these; all if empty."""
    columns: tuple[str, ...] = ()
    """Only these fields, by their names in the output, in the type's order; all if empty."""
    campaign_type: CampaignType | None = None
    """Push: the type of the campaigns."""
    campaign_ids: tuple[int, ...] = ()
    """Push: the campaigns, instead of a range."""
    as_of: datetime | None = None
    """Snapshot types: the state as it was known at this instant; now if absent."""
    include_user_id: bool = False
    """Adds `userId` where known to the types that do not have it by default."""
    include_record_id: bool = False
    """Adds `recordId` and `receivedAt`."""
    include_info: bool = False
    """Historical types: adds the information and the location of the time of each record."""
    include_device_timestamp: bool = False
    """Types that devices report: adds each record's time by the device's own clock."""
    csv_formula_guard: bool = False
    """CSV: puts an apostrophe before values that a spreadsheet would run."""
    excel: bool = False
    """CSV: files that a spreadsheet opens as they are; ids stay texts and nothing is run."""
    empty_file: bool = True
    """Delivers one file that is valid in its format where there are no rows; else none."""
    description: str = ""
    """The client's own words."""
    published_contract: bool = False
    """Asked through the contract of 2014: values are written as that contract says."""

    def __post_init__(self) -> None:
        _check_texts(self)
        _check_range(self)
        _check_campaigns(self)
        _check_names(self)
        _check_options(self)


def _check_texts(request: ExportRequest) -> None:
    """Half of a character, as a JSON escape may name one, can be neither kept nor written."""
    for name, value in (
        ("app id", request.app_id),
        ("container URL", request.container_url),
        ("description", request.description),
        *(("event name", text) for text in request.event_names),
        *(("column", text) for text in request.columns),
    ):
        if not value.isascii() and SURROGATE.search(value):
            raise InvalidExportError(
                f"The {name} must have whole characters, got one with an unpaired surrogate."
            )


def _check_range(request: ExportRequest) -> None:
    kind = request.export_type
    if kind.is_historical and request.time_range is None:
        raise InvalidExportError(f"A {kind} export needs a start and an end date, got none.")
    if not kind.is_historical and kind is not ExportType.PUSH and request.time_range is not None:
        raise InvalidExportError(f"A {kind} export is a snapshot: it takes no date range.")
    if not kind.is_historical and request.time_axis is not TimeAxis.EVENT:
        raise InvalidExportError(
            f"The time axis {request.time_axis} is for histories, got it for {kind}."
        )


def _check_campaigns(request: ExportRequest) -> None:
    by_id, by_range = bool(request.campaign_ids), request.time_range is not None
    if request.export_type is not ExportType.PUSH:
        if by_id or request.campaign_type is not None:
            raise InvalidExportError(
                f"Only a Push export takes campaigns, got some for {request.export_type}."
            )
        return
    if request.campaign_type is None:
        raise InvalidExportError("A Push export needs a campaign type, got none.")
    if by_id == by_range:
        got = "both" if by_id else "neither"
        raise InvalidExportError(
            f"A Push export needs either campaign ids or a feedback window, got {got}."
        )
    if any(not 0 <= campaign_id < 2**63 for campaign_id in request.campaign_ids):
        raise InvalidExportError("Campaign ids must be whole numbers from 0 to 2^63-1.")


def _check_names(request: ExportRequest) -> None:
    names, kind = request.event_names, request.export_type
    if names and not kind.is_named:
        named = ", ".join(export_type for export_type in ExportType if export_type.is_named)
        raise InvalidExportError(f"Only {named} records have a name, got event names for {kind}.")
    if len(names) > EVENT_NAMES_MAX:
        raise InvalidExportError(
            f"There may be up to {EVENT_NAMES_MAX} event names, got {len(names)}."
        )
    for name in names:
        if not 0 < len(name) <= EVENT_NAME_CHARACTERS_MAX:
            raise InvalidExportError(
                f"An event name must have 1 to {EVENT_NAME_CHARACTERS_MAX} characters, "
                f"got {len(name)}."
            )


def _check_options(request: ExportRequest) -> None:
    if request.as_of is not None:
        if request.export_type.is_historical:
            raise InvalidExportError(
                f"`as of` is for snapshots; a {request.export_type} export takes a date range."
            )
        if request.as_of.utcoffset() != timedelta(0):
            raise InvalidExportError(f"`as of` must be in UTC, got {request.as_of!r}.")
    _check_additions(request)
    if request.csv_formula_guard and request.export_format is not ExportFormat.CSV:
        raise InvalidExportError(
            f"The formula guard is for CsvBlob, got it for {request.export_format}."
        )
    if request.excel and request.export_format is not ExportFormat.CSV:
        raise InvalidExportError(
            f"Files for a spreadsheet are CsvBlob, got a wish for them in {request.export_format}."
        )
    if request.columns and request.export_format is ExportFormat.JSON:
        raise InvalidExportError(
            "The published schema of JsonBlob requires its fields, so columns can be chosen for "
            "CsvBlob, NdjsonBlob and ParquetBlob alone."
        )


def _check_additions(request: ExportRequest) -> None:
    kind = request.export_type
    if request.include_info and not kind.is_historical:
        raise InvalidExportError(
            "Information and location are added to histories; "
            f"a {kind} export is a snapshot and takes none."
        )
    if request.include_device_timestamp and not kind.has_device_time:
        timed = ", ".join(export_type for export_type in ExportType if export_type.has_device_time)
        raise InvalidExportError(
            f"Only {timed} records have a time by the device's own clock, "
            f"got a request of it for {kind}."
        )
    if request.published_contract and (
        request.include_record_id or request.include_info or request.include_device_timestamp
    ):
        raise InvalidExportError(
            "The contract of 2014 has no recordId, receivedAt, information, location or "
            "deviceTimestamp beside a record; ask by a later API version."
        )
