"""Says in a manifest what an export delivered."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from engagement.export.requests import shape_of_request
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Receipt
from engagement.model.manifest import Manifest, render_manifest
from engagement.model.plan import PlanHead
from engagement.model.request_identity import describe_request

_SAID_ELSEWHERE = {
    "appId",
    "exportType",
    "exportFormat",
    "compression",
    "range",
    "description",
    "publishedContract",
}
"""What a manifest says outside of its selection, or not at all."""


def manifest_of(
    task_id: str, request: ExportRequest, head: PlanHead, receipts: Mapping[int, Receipt]
) -> bytes:
    """The manifest; it depends on the request, the plan and the parts alone, not on the clock.

    Args:
        task_id: The export task.
        request: What was asked.
        head: What its plan has fixed.
        receipts: Those of all parts, by part index.
    """
    span = request.time_range
    described, fields = describe_request(request), shape_of_request(request).fields
    return render_manifest(
        Manifest(
            task_id=task_id,
            app_id=request.app_id,
            export_type=request.export_type,
            export_format=request.export_format,
            compression=request.compression,
            selection={
                **{name: described[name] for name in described if name not in _SAID_ELSEWHERE},
                "start": None if span is None else span.start.isoformat(),
                "end": None if span is None else span.end.isoformat(),
                "campaignIds": list(head.campaign_ids),
            },
            tables={kind.value: version for kind, version in sorted(head.versions.items())},
            fields=tuple((field.name, field.type.value) for field in fields),
            parts=tuple(
                replace(receipts[index], name=PurePosixPath(receipts[index].name).name)
                for index in sorted(receipts)
            ),
        )
    )
