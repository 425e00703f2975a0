"""This module asks for an export in words: the options that creating and estimating one share."""

from typing import Annotated

import typer

from engagement.cli.arguments import day_or_instant, utc_instant
from engagement.exceptions import InvalidExportError
from engagement.model.asking import ExportOptions, choice, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.exports import CampaignType, Compression, ExportFormat, ExportType

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
    options: ExportOptions = {
        "export_format": export_format,
        "compression": compression,
        "time_axis": time_axis,
        "event_names": event_names or (),
        "columns": columns or (),
        "campaign_ids": campaign_ids or (),
        "include_user_id": include_user_id,
    }
    if campaign_type is not None:
        options["campaign_type"] = campaign_type
    if as_of is not None:
        options["as_of"] = utc_instant(as_of)
    kind = choice(ExportType, export_type, what="export type")
    first, last = _span(kind, days, window)
    if first is not None:
        options["start"] = day_or_instant(first)
    if last is not None:
        options["end"] = day_or_instant(last)
    return request_of(app_id, kind, "", options)


def _span(
    kind: ExportType, days: tuple[str | None, str | None], window: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The one range that was asked for, by `--from` and `--to` or as a feedback window."""
    if window == (None, None):
        return days
    if kind is not ExportType.PUSH:
        raise InvalidExportError(f"A feedback window is for Push exports, got one for {kind}.")
    if days != (None, None):
        raise InvalidExportError("Give a feedback window or --from and --to, got both.")
    return window
