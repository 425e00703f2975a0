"""Makes the bodies of version 2026-11-01 from the list of the options of an export."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, create_model

from engagement.exceptions import InvalidExportError
from engagement.model.apps import App
from engagement.model.export_options import OPTIONS, Option, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportType
from engagement.model.option_kinds import Choice, Numbers, Text, Texts
from engagement.server.schemas import Answer, StrictBody, UtcDay, UtcInstant

_SWITCHES = tuple(name for name, option in OPTIONS.items() if option.is_nested)


def _type_of(option: Option) -> Any:
    """The type of a property in a request, with its limits."""
    kind = option.kind
    if isinstance(kind, Choice):
        return kind.of
    if isinstance(kind, Texts):
        return Annotated[list[str], Field(max_length=kind.count_max)]
    if isinstance(kind, Numbers):
        return Annotated[list[int], Field(max_length=kind.count_max)]
    if isinstance(kind, Text):
        return Annotated[str, Field(max_length=kind.characters_max)]
    return bool if option.is_nested else UtcInstant


def _fields(*names: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Definitions of properties by the keywords of their options; None where not required."""
    definitions: dict[str, Any] = {}
    for name in (*names, *required):
        option, kind = OPTIONS[name], _type_of(OPTIONS[name])
        default = ... if name in required else None
        definitions[name] = (
            kind if name in required else kind | None,
            Field(default, alias=option.body_name, description=option.help),
        )
    return definitions


Switches = create_model(
    "ExportOptions",
    __base__=StrictBody,
    __doc__="Options of what is written.",
    **_fields(*_SWITCHES),
)


class CreateBody(StrictBody):
    """What every request for an export has."""

    container_url: str = Field(
        default="",
        description="Container with a SAS that may write; a secret, never shown again. "
        "Only a dry run goes without.",
    )
    export_options: Switches | None = None  # type: ignore[valid-type]

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """Return the request, in our own words.

        Raises:
            InvalidExportError: There is no such export.
        """
        return request_of(app.app_id, kind, self.container_url, self.options())

    def options(self) -> dict[str, Any]:
        """Return the options by their keywords; None where they are not in the body."""
        switches = {name: getattr(self.export_options, name, None) for name in _SWITCHES}
        given = {name: getattr(self, name) for name in type(self).model_fields if name in OPTIONS}
        return switches | {
            # A choice's own value is a text, which any case of is understood.
            name: value.value if isinstance(value, StrEnum) else value
            for name, value in given.items()
        }


class _Days(CreateBody):
    """A range: date-times, half-open, or whole UTC days, both included."""

    start_time: UtcInstant | None = Field(default=None, description="First instant inside.")
    end_time: UtcInstant | None = Field(default=None, description="First instant outside.")
    start_date: UtcDay | None = Field(default=None, description="First UTC day inside.")
    end_date: UtcDay | None = Field(default=None, description="Last UTC day inside.")

    def options(self) -> dict[str, Any]:
        """Return the options, with the range from whichever pair was given."""
        has_days = self.start_date is not None or self.end_date is not None
        has_times = self.start_time is not None or self.end_time is not None
        start, end = (
            (self.start_date, self.end_date) if has_days else (self.start_time, self.end_time)
        )
        if start is None or end is None or (has_days and has_times):
            raise InvalidExportError(
                "A history needs startTime and endTime, or startDate and endDate, "
                "and one pair only."
            )
        return super().options() | {"start": start, "end": end}


class _Window(CreateBody):
    """A window of campaigns' feedback, half-open."""

    campaign_window_start: UtcInstant
    campaign_window_end: UtcInstant

    def options(self) -> dict[str, Any]:
        """Return the options, with the window as the range."""
        window = {"start": self.campaign_window_start, "end": self.campaign_window_end}
        return super().options() | window


_COMMON = ("columns", "export_format", "compression", "description")
HistoryBody = create_model(
    "HistoryBody",
    __base__=_Days,
    __doc__="Records of a range: date-times, half-open, or whole UTC days, both included.",
    **_fields(*_COMMON, "time_axis", "event_names"),
)
SnapshotBody = create_model(
    "SnapshotBody",
    __base__=CreateBody,
    __doc__="The latest state, or the state as of an instant.",
    **_fields(*_COMMON, "as_of"),
)
WindowBody = create_model(
    "WindowBody",
    __base__=_Window,
    __doc__="The feedback of the campaigns of a window.",
    **_fields(*_COMMON, "as_of", required=("campaign_type",)),
)
CampaignsBody = create_model(
    "CampaignsBody",
    __base__=CreateBody,
    __doc__="The feedback of campaigns by their ids.",
    **_fields(*_COMMON, "as_of", required=("campaign_type", "campaign_ids")),
)


def _answer_fields() -> dict[str, Any]:
    """What was asked, as an answer says it: instants are texts, to the microsecond."""
    definitions: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if option.is_nested:
            continue
        type_ = _type_of(option)
        json_type = str if type_ is UtcInstant else type_
        definitions[name] = (
            json_type | None,
            Field(default=None, alias=option.body_name, description=option.help),
        )
    return definitions


SelectionAnswer = create_model(
    "SelectionAnswer",
    __base__=Answer,
    __doc__="What was asked of an export.",
    campaign_window_start=(str | None, None),
    campaign_window_end=(str | None, None),
    export_options=(dict[str, bool], Field(description="Every option of what is written.")),
    **_answer_fields(),
)
