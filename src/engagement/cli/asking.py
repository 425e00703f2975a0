"""This module asks for an export in words: the options that creating and estimating one share."""

from typing import Annotated

import typer

from engagement.cli.arguments import choice, time_range, utc_instant
from engagement.exceptions import InvalidExportError
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportRequest,
    ExportType,
    TimeAxis,
    TimeRange,
)

TypeName = Annotated[
    str, typer.Argument(metavar="TYPE", help=", ".join(one.value for one in ExportType))
]
FormatName = Annotated[
    str, typer.Option("--format", help=", ".join(one.value for one in ExportFormat))
]
CompressionName = Annotated[str, typer.Option(help=", ".join(one.value for one in Compression))]
First = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Start: a UTC day, or a date-time.")
]
Last = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", help="Last UTC day, or the first instant outside."),
]
AxisName = Annotated[
    str,
    typer.Option(
        "--time-axis",
        help="What the range is about: event (when it happened) or received (when it came in).",
    ),
]
EventNames = Annotated[
    list[str] | None,
    typer.Option("--event-name", metavar="NAME", help="Only records of this name; repeatable."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME", help="Only this field; repeatable. Not JsonBlob."),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="TIME", help="Snapshots: the state as known at this date-time."
    ),
]
CampaignTypeName = Annotated[
    str | None, typer.Option(help="Push: " + ", ".join(one.value for one in CampaignType))
]
CampaignIds = Annotated[
    list[int] | None, typer.Option("--campaign", metavar="ID", help="Push: an id; repeatable.")
]
WindowStart = Annotated[
    str | None, typer.Option(metavar="TIME", help="Push: start of the feedback window.")
]
WindowEnd = Annotated[
    str | None, typer.Option(metavar="TIME", help="Push: end of the feedback window.")
]
IncludeUserId = Annotated[
    bool, typer.Option("--include-user-id", help="Add userId where it is known.")
]


def asked(
    *,
    app_id: str,
    export_type: str,
    export_format: str,
    compression: str,
    days: tuple[str | None, str | None],
    time_axis: str,
    event_names: list[str] | None,
    columns: list[str] | None,
    as_of: str | None,
    campaign_type: str | None,
    campaign_ids: list[int] | None,
    window: tuple[str | None, str | None],
    include_user_id: bool,
) -> ExportRequest:
    """The request that the words make, without a container.

    Raises:
        InvalidExportError: They make none.
    """
    kind = choice(ExportType, export_type, what="export type")
    return ExportRequest(
        app_id=app_id,
        export_type=kind,
        export_format=choice(ExportFormat, export_format, what="export format"),
        compression=choice(Compression, compression, what="compression"),
        time_range=_range(kind, days, window),
        time_axis=choice(TimeAxis, time_axis, what="time axis"),
        event_names=tuple(event_names or ()),
        columns=tuple(columns or ()),
        campaign_type=None
        if campaign_type is None
        else choice(CampaignType, campaign_type, what="campaign type"),
        campaign_ids=tuple(campaign_ids or ()),
        as_of=None if as_of is None else utc_instant(as_of),
        include_user_id=include_user_id,
    )


def _range(
    kind: ExportType, days: tuple[str | None, str | None], window: tuple[str | None, str | None]
) -> TimeRange | None:
    """The one range that was asked for, by `--from` and `--to` or as a feedback window."""
    if window != (None, None):
        if kind is not ExportType.PUSH:
            raise InvalidExportError(f"A feedback window is for Push exports, got one for {kind}.")
        if days != (None, None):
            raise InvalidExportError("Give a feedback window or --from and --to, got both.")
        return time_range(*window)
    return time_range(*days)
