"""This module holds the command that says how large an export would be."""

from engagement.cli.arguments import AppId
from engagement.cli.asking import (
    AsOf,
    AxisName,
    CampaignIds,
    CampaignTypeName,
    Columns,
    CompressionName,
    EventNames,
    First,
    FormatName,
    IncludeUserId,
    Last,
    TypeName,
    WindowEnd,
    WindowStart,
    asked,
)
from engagement.cli.output import AsJson, byte_count, print_fields, print_json
from engagement.cli.places import place_of
from engagement.cli.profiles import ProfileName, ServerAddress
from engagement.model.exports import Compression, ExportFormat, TimeAxis


def estimate(
    export_type: TypeName,
    app_id: AppId,
    export_format: FormatName = ExportFormat.JSON.value,
    compression: CompressionName = Compression.NONE.value,
    first: First = None,
    last: Last = None,
    time_axis: AxisName = TimeAxis.EVENT.value,
    event_name: EventNames = None,
    column: Columns = None,
    as_of: AsOf = None,
    campaign_type: CampaignTypeName = None,
    campaign: CampaignIds = None,
    window_start: WindowStart = None,
    window_end: WindowEnd = None,
    include_user_id: IncludeUserId = False,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Say how large an export would be, at the most; nothing is read but statistics.

    Bytes are known once an export of the same type, format, compression and fields was made.
    """
    request = asked(
        app_id=app_id,
        export_type=export_type,
        export_format=export_format,
        compression=compression,
        days=(first, last),
        time_axis=time_axis,
        event_names=event_name,
        columns=column,
        as_of=as_of,
        campaign_type=campaign_type,
        campaign_ids=campaign,
        window=(window_start, window_end),
        include_user_id=include_user_id,
    )
    found = place_of(server, profile).estimate(request)
    if as_json:
        print_json(found)
        return
    size = "not known yet" if found.bytes is None else f"about {byte_count(found.bytes)}"
    print_fields(
        [("rows", f"up to {found.rows:,}"), ("parts", f"up to {found.parts:,}"), ("size", size)]
    )
