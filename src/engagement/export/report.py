"""Says in a manifest what an export delivered."""

from dataclasses import replace
from pathlib import PurePosixPath

from engagement.export.plan import Plan
from engagement.export.requests import shape_of_request
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Receipt
from engagement.model.manifest import Manifest, render_manifest
from engagement.model.request_json import chosen_options


def manifest_of(
    task: ExportTask, request: ExportRequest, plan: Plan, receipts: dict[int, Receipt]
) -> bytes:
    """The manifest; it depends on the request, the plan and the parts alone, not on the clock."""
    span = request.time_range
    shape = shape_of_request(request)
    return render_manifest(
        Manifest(
            task_id=task.task_id,
            app_id=request.app_id,
            export_type=request.export_type,
            export_format=request.export_format,
            compression=request.compression,
            selection={
                "start": None if span is None else span.start.isoformat(),
                "end": None if span is None else span.end.isoformat(),
                "asOf": None if request.as_of is None else request.as_of.isoformat(),
                "campaignType": request.campaign_type,
                "campaignIds": list(plan.campaign_ids),
                "includeUserId": request.include_user_id,
                "csvFormulaGuard": request.csv_formula_guard,
                **chosen_options(request),
            },
            tables={kind.value: version for kind, version in sorted(plan.versions.items())},
            fields=tuple((field.name, field.type.value) for field in shape.fields),
            parts=tuple(
                replace(receipts[part.index], name=PurePosixPath(receipts[part.index].name).name)
                for part in plan.parts
            ),
        )
    )
