"""Keeps what was asked as JSON, without the container URL, which is a secret."""

import json
from datetime import datetime
from typing import Any

from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
    TimeRange,
)


def encode_request(request: ExportRequest) -> str:
    """The request as JSON; `decode_request` gives back an equal one with the container URL."""
    span = request.time_range
    # What was kept before this was asked has no such member, and meant the published contract.
    contract = {} if request.published_contract else {"publishedContract": False}
    return json.dumps(
        {
            "appId": request.app_id,
            "exportType": request.export_type,
            "exportFormat": request.export_format,
            "compression": request.compression,
            "range": None if span is None else [span.start.isoformat(), span.end.isoformat()],
            "campaignType": request.campaign_type,
            "campaignIds": request.campaign_ids,
            "asOf": None if request.as_of is None else request.as_of.isoformat(),
            "includeUserId": request.include_user_id,
            "csvFormulaGuard": request.csv_formula_guard,
            "description": request.description,
            **chosen_options(request),
            **contract,
        }
    )


def chosen_options(request: ExportRequest) -> dict[str, Any]:
    """The options that narrow an export, where they were chosen.

    One that was not chosen is left out, so that what was kept before it existed stays as it was:
    a manifest made anew has the same bytes, and a repeated request the same hash.
    """
    options: dict[str, Any] = {}
    if request.time_axis is not TimeAxis.EVENT:
        options["timeAxis"] = request.time_axis
    if request.event_names:
        options["eventNames"] = list(request.event_names)
    if request.columns:
        options["columns"] = list(request.columns)
    if request.include_record_id:
        options["includeRecordId"] = True
    if request.include_info:
        options["includeInfo"] = True
    if request.include_device_timestamp:
        options["includeDeviceTimestamp"] = True
    if not request.empty_file:
        options["emptyFile"] = False
    return options


def decode_request(text: str, *, container_url: str = "") -> ExportRequest:
    """The request that was kept."""
    content: dict[str, Any] = json.loads(text)
    span, as_of, campaign_type = content["range"], content["asOf"], content["campaignType"]
    return ExportRequest(
        app_id=content["appId"],
        export_type=ExportType(content["exportType"]),
        export_format=ExportFormat(content["exportFormat"]),
        compression=Compression(content["compression"]),
        container_url=container_url,
        time_range=span
        and TimeRange(start=datetime.fromisoformat(span[0]), end=datetime.fromisoformat(span[1])),
        time_axis=TimeAxis(content.get("timeAxis", TimeAxis.EVENT)),
        event_names=tuple(content.get("eventNames", ())),
        columns=tuple(content.get("columns", ())),
        campaign_type=campaign_type and CampaignType(campaign_type),
        campaign_ids=tuple(content["campaignIds"]),
        as_of=as_of and datetime.fromisoformat(as_of),
        include_user_id=content["includeUserId"],
        include_record_id=content.get("includeRecordId", False),
        include_info=content.get("includeInfo", False),
        include_device_timestamp=content.get("includeDeviceTimestamp", False),
        csv_formula_guard=content["csvFormulaGuard"],
        empty_file=content.get("emptyFile", True),
        description=content["description"],
        published_contract=content.get("publishedContract", True),
    )
