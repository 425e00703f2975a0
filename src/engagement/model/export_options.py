"""Lists the options of an export: HTTP, the clients and the command line derive from this list.

The Python client takes them as keywords, the command line as flags, HTTP as properties of a body;
each is checked here, and here alone it is decided what holds where nothing is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from typing import Annotated, Any, TypedDict, cast, get_type_hints

from engagement.exceptions import InvalidExportError
from engagement.model.export_request import EVENT_NAMES_MAX, ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.model.option_kinds import (
    Choice,
    DayOrInstant,
    Instant,
    Numbers,
    OptionKind,
    Switch,
    Text,
    Texts,
)

DESCRIPTION_CHARACTERS_MAX = 1_024
COLUMNS_MAX = 200
CAMPAIGNS_MAX = 10_000
CREATE_WORDS = {
    "Activity": "activities",
    "Crash": "crashes",
    "Error": "errors",
    "Event": "events",
    "Job": "jobs",
    "Session": "sessions",
    "Device": "devices",
    "Tag": "tags",
    "Token": "tokens",
    "Info": "info",
    "Location": "locations",
}
"""Where an export of each type is created, below `exportTasks/`; by the type's name, since a
contract may know more types than there are. Push has two places, by date and by campaign."""
FEEDBACK_BY_DATE, FEEDBACK_BY_CAMPAIGN = "feedbackByDate", "feedbackByCampaign"


@dataclass(frozen=True, slots=True)
class Option:
    """How the interfaces spell an option."""

    body_name: str
    """The property of a body over HTTP."""
    flag: str
    """The option of the command line."""
    kind: OptionKind
    """What values it takes."""
    help: str
    """What it means, in a sentence or less."""

    @property
    def is_nested(self) -> bool:
        """Whether the property is one of the body's `exportOptions`, as the published one is."""
        return isinstance(self.kind, Switch)


class ExportOptions(TypedDict, total=False):
    """What may be asked of an export besides its type."""

    export_format: Annotated[
        ExportFormat | str,
        Option(
            "exportFormat",
            "--format",
            Choice(ExportFormat),
            "JsonBlob, CsvBlob, NdjsonBlob or ParquetBlob; JsonBlob if absent, CsvBlob for Excel.",
        ),
    ]
    compression: Annotated[
        Compression | str,
        Option(
            "compression",
            "--compression",
            Choice(Compression),
            "none, gzip or zstd; none if absent.",
        ),
    ]
    start: Annotated[
        date | datetime | str,
        Option("startTime", "--from", DayOrInstant(), "Start: a UTC day, or a date-time."),
    ]
    end: Annotated[
        date | datetime | str,
        Option("endTime", "--to", DayOrInstant(), "Last UTC day, or the first instant outside."),
    ]
    time_axis: Annotated[
        TimeAxis | str,
        Option(
            "timeAxis",
            "--time-axis",
            Choice(TimeAxis),
            "What the range is about: event (when it happened) or received (when it came in).",
        ),
    ]
    event_names: Annotated[
        Sequence[str],
        Option(
            "eventNames",
            "--event-name",
            Texts(EVENT_NAMES_MAX),
            "Only records with one of these names, for kinds that have names.",
        ),
    ]
    columns: Annotated[
        Sequence[str],
        Option("columns", "--column", Texts(COLUMNS_MAX), "Only these fields; not with JsonBlob."),
    ]
    as_of: Annotated[
        datetime | str,
        Option("asOf", "--as-of", Instant(), "Snapshots: the state as it was known then."),
    ]
    campaign_type: Annotated[
        CampaignType | str,
        Option(
            "campaignType",
            "--campaign-type",
            Choice(CampaignType),
            "Push: Announcement, DataPush, NativePush or Poll.",
        ),
    ]
    campaign_ids: Annotated[
        Sequence[int],
        Option("campaignIds", "--campaign", Numbers(CAMPAIGNS_MAX), "Push: only these campaigns."),
    ]
    include_user_id: Annotated[
        bool,
        Option("exportUserId", "--include-user-id", Switch(), "Adds userId where it is known."),
    ]
    include_record_id: Annotated[
        bool,
        Option(
            "includeRecordId",
            "--record-id/--no-record-id",
            Switch(),
            "Adds recordId and receivedAt; if absent, to all formats but JsonBlob.",
        ),
    ]
    include_info: Annotated[
        bool,
        Option(
            "includeInfo",
            "--with-info",
            Switch(),
            "Histories: adds the information and location at the time of each record.",
        ),
    ]
    include_device_timestamp: Annotated[
        bool,
        Option(
            "includeDeviceTimestamp",
            "--with-device-timestamp",
            Switch(),
            "Adds each record's time by the device's own clock.",
        ),
    ]
    csv_formula_guard: Annotated[
        bool,
        Option(
            "csvFormulaGuard",
            "--formula-guard",
            Switch(),
            "CsvBlob: defuses values that a spreadsheet would run.",
        ),
    ]
    excel: Annotated[
        bool,
        Option(
            "excel",
            "--excel",
            Switch(),
            "CsvBlob that a spreadsheet opens: ids stay texts, nothing is run.",
        ),
    ]
    empty_file: Annotated[
        bool,
        Option(
            "emptyFile",
            "--empty-file/--no-empty-file",
            Switch(),
            "Delivers one valid file where there are no rows, as if absent; else none.",
        ),
    ]
    description: Annotated[
        str,
        Option(
            "description",
            "--description",
            Text(DESCRIPTION_CHARACTERS_MAX),
            "Your own words about the task.",
        ),
    ]


OPTIONS: dict[str, Option] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(ExportOptions, include_extras=True).items()
}
"""Every option by its keyword, which, but for the range, is the field of `ExportRequest`."""
_WINDOW_PROPERTIES = {"start": "campaignWindowStart", "end": "campaignWindowEnd"}
_DEFAULTS = {field.name: field.default for field in fields(ExportRequest)} | {
    "export_format": ExportFormat.JSON
}


def request_of(
    app_id: str,
    export_type: ExportType | str,
    container_url: str,
    options: ExportOptions | Mapping[str, object],
    *,
    published_contract: bool = False,
) -> ExportRequest:
    """Return the request that the options make.

    Args:
        app_id: The app.
        export_type: What to export, or its name in any case.
        container_url: Where to; a secret.
        options: Any of `ExportOptions`; what is absent or None has its default.
        published_contract: Whether it is asked through the contract of 2014.

    Raises:
        InvalidExportError: An option or a value is not known, or they do not go together.
    """
    kind = Choice(ExportType).read("export type", export_type)
    values = {
        name: option.kind.read(_words(name), options[name])  # type: ignore[literal-required]
        for name, option in OPTIONS.items()
        if options.get(name) is not None
    }
    if unknown := [name for name in options if name not in OPTIONS]:
        raise InvalidExportError(_unknown(unknown[0]))
    values.setdefault(
        "export_format", ExportFormat.CSV if values.get("excel") else ExportFormat.JSON
    )
    values.setdefault(
        "include_record_id",
        _has_record_id(values["export_format"], published_contract=published_contract),
    )
    return ExportRequest(
        app_id=app_id,
        export_type=ExportType(kind),
        container_url=container_url,
        time_range=_range(values.pop("start", None), values.pop("end", None)),
        published_contract=published_contract,
        **values,
    )


def options_of(request: ExportRequest) -> ExportOptions:
    """Return the options that make the request again, without those that have no value."""
    span = request.time_range
    values = {
        name: getattr(request, name) for name in OPTIONS if name not in _WINDOW_PROPERTIES
    } | ({} if span is None else {"start": span.start, "end": span.end})
    return cast(
        "ExportOptions", {name: value for name, value in values.items() if value not in (None, ())}
    )


def body_of(request: ExportRequest) -> dict[str, Any]:
    """Return what is asked as the body of a request over HTTP, without the container URL.

    Switches are there whether on or off; anything else only where it is not as by default.
    """
    nested: dict[str, Any] = {}
    body: dict[str, Any] = {}
    for name, value in options_of(request).items():
        option = OPTIONS[name]
        if option.is_nested:
            nested[option.body_name] = option.kind.write(value)
        elif value != _DEFAULTS.get(name) or name in {"export_format", "compression"}:
            body[_property(name, request.export_type)] = option.kind.write(value)
    return body | {"exportOptions": nested}


def request_of_body(
    app_id: str, export_type: ExportType, body: Mapping[str, Any], *, published_contract: bool
) -> ExportRequest:
    """Return the request that a body of `body_of` is about; other properties are left aside.

    Raises:
        InvalidExportError: It is about none.
    """
    nested = body.get("exportOptions", {})
    options = {
        name: (nested if option.is_nested else body).get(_property(name, export_type))
        for name, option in OPTIONS.items()
    }
    return request_of(app_id, export_type, "", options, published_contract=published_contract)


def create_word(export_type: ExportType, *, by_campaign: bool) -> str:
    """Return where an export is created, below `exportTasks/`."""
    if export_type is ExportType.PUSH:
        return FEEDBACK_BY_CAMPAIGN if by_campaign else FEEDBACK_BY_DATE
    return CREATE_WORDS[export_type.value]


def _has_record_id(export_format: ExportFormat, *, published_contract: bool) -> bool:
    """What holds where nothing is said: JsonBlob has the fields of its published schema."""
    return not published_contract and export_format is not ExportFormat.JSON


def _property(name: str, export_type: ExportType) -> str:
    if export_type is ExportType.PUSH and name in _WINDOW_PROPERTIES:
        return _WINDOW_PROPERTIES[name]
    return OPTIONS[name].body_name


def _words(name: str) -> str:
    return name.replace("_", " ")


def _unknown(name: str) -> str:
    close = get_close_matches(name, OPTIONS, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"An option must be one of {', '.join(OPTIONS)}, got {name!r:.100}.{meant}"


def _range(start: date | None, end: date | None) -> TimeRange | None:
    """Days mean whole UTC days, both included; a date-time as the end is the first outside."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InvalidExportError("A range needs a start and an end, got only one of them.")
    if not isinstance(start, datetime) and not isinstance(end, datetime):
        return TimeRange.of_days(start, end)
    return TimeRange(
        start=start if isinstance(start, datetime) else datetime.combine(start, time(0), UTC),
        end=end if isinstance(end, datetime) else TimeRange.of_days(end, end).end,
    )
