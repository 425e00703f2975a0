"""The operation that says how large an export would be."""

from collections.abc import Sequence
from itertools import islice

from engagement.export.freeze import tables_read
from engagement.export.plan import may_be_received_in, may_have_happened_in, plan_parts
from engagement.export.requests import selection_of, shape_of_request
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Estimate, ExportState, TimeAxis
from engagement.runtime.opening import Runtime
from engagement.store.data_files import DataFile

EXPORTS_COMPARED_MAX = 20
TASKS_LOOKED_THROUGH_MAX = 200


def estimate_export(runtime: Runtime, request: ExportRequest) -> Estimate:
    """How large the export would be now, from Delta's statistics; no row is read, nothing is kept.

    Rows are exact for whole days of all activities, events, errors, crashes or jobs by when they
    happened. Otherwise they are an upper bound: the rows of the files that may hold some, before
    filters and folds. Parts are as many as the plan could have for them. What is accepted and
    not yet in the lake is not counted. Bytes are the rows at the mean size of a row in the app's
    last exports of the same type, format, compression and fields.

    Args:
        runtime: The service.
        request: What would be exported; its container URL is not used and may be empty.

    Raises:
        UnknownAppError: No app has this id.
        InvalidExportError: It names columns that the type does not have.
    """
    runtime.apps.get(request.app_id)
    shape_of_request(request)
    commits = runtime.inbox.last_commits(request.app_id)
    files = {
        kind: runtime.lake.files(request.app_id, kind, commits[kind].version)
        for kind in tables_read(request)
        if kind in commits
    }
    rows = sum(file.rows for file in _inside(request, files.get(request.export_type.kind, ())))
    selection = selection_of(request, request.campaign_ids)
    parts = plan_parts(
        request.export_type,
        files,
        time_range=selection.time_range,
        part_rows_target=runtime.settings.part_rows_target,
        time_axis=selection.time_axis,
    )
    # A part without rows is not written, but for one where there are none at all.
    count = max(min(len(parts), rows), int(request.empty_file))
    return Estimate(rows=rows, parts=count, bytes=_bytes(runtime, request, rows))


def _inside(request: ExportRequest, files: Sequence[DataFile]) -> Sequence[DataFile]:
    """The files that may hold rows of the export."""
    span = request.time_range
    if span is None or not request.export_type.is_historical:
        return files
    if request.time_axis is TimeAxis.RECEIVED:
        return may_be_received_in(files, span)
    return may_have_happened_in(files, span)


def _bytes(runtime: Runtime, request: ExportRequest, rows: int) -> int | None:
    """The rows at the mean size of a row so far; None if nothing like it was delivered."""
    if rows == 0:
        return 0
    tasks = runtime.tasks.list_newest(
        app_id=request.app_id, limit=TASKS_LOOKED_THROUGH_MAX, now=runtime.clock()
    )
    fields = shape_of_request(request).fields
    alike = (
        task.progress
        for task in tasks
        if task.state is ExportState.SUCCEEDED
        and task.progress.rows_done
        and (task.export_type, task.export_format, task.compression)
        == (request.export_type, request.export_format, request.compression)
        and shape_of_request(task.request).fields == fields
    )
    last = list(islice(alike, EXPORTS_COMPARED_MAX))
    if not last:
        return None
    mean = sum(progress.bytes_done for progress in last) / sum(
        progress.rows_done for progress in last
    )
    return round(rows * mean)
