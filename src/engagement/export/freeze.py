"""Freezes an export: it pins table versions, cuts parts and counts their rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from engagement.exceptions import (
    IncompleteExportError,
    LakeDamagedError,
    SourceUnavailableError,
)
from engagement.export.cutting import count_rows, cut_part
from engagement.export.plan import empty_part, plan_parts, rows_target
from engagement.export.requests import selection_of
from engagement.export.rows import campaigns_in_window
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportType, TimeAxis
from engagement.model.plan import Part, Plan, PlanHead
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, Kind
from engagement.store.commits import Commit
from engagement.store.data_files import DataFile
from engagement.store.lake import Lake


def make_plan(
    lake: Lake,
    request: ExportRequest,
    commits: Mapping[Kind, Commit],
    *,
    part_rows_target: int,
    on_counted: Callable[[], None] = lambda: None,
) -> Plan:
    """The plan of an export: everything it will read and write, with the rows of each part.

    Rows come from Delta's statistics where a part is whole files, else from a scan of only the
    columns that decide; either way they are counted apart from the scan that writes them. What
    statistics cut too coarsely is cut again, at places in the data.

    Raises:
        LakeDamagedError: A file that the export needs is missing or has another size.
        IncompleteExportError: The counted parts do not add up to what Delta's statistics say.
    """
    versions = {kind: commits[kind].version for kind in tables_read(request) if kind in commits}
    files = {kind: lake.files(request.app_id, kind, version) for kind, version in versions.items()}
    for kind, some in files.items():
        lake.check_files(request.app_id, kind, some)
    campaign_ids = find_campaigns(lake, request, files)
    selection = selection_of(request, campaign_ids)
    parts = plan_parts(
        request.export_type,
        files,
        time_range=selection.time_range,
        part_rows_target=part_rows_target,
        time_axis=selection.time_axis,
    )
    # Statistics know nothing of names.
    known = [None if selection.event_names else part.rows for part in parts]
    main = files.get(request.export_type.kind, ())
    target = rows_target(main, part_rows_target)
    counted: list[Part] = []
    for part, rows in zip(parts, known, strict=True):
        whole = replace(part, rows=count_rows(lake, selection, part) if rows is None else rows)
        counted.extend(cut_part(lake, selection, whole, main, target=target))
        on_counted()
    if selection.time_axis is TimeAxis.EVENT and not selection.event_names:
        _check_sum(request, files, counted)
    filled = [part for part in counted if part.rows]
    if not filled and request.empty_file:
        filled = [empty_part()]
    return Plan(
        head=PlanHead(versions=versions, campaign_ids=campaign_ids),
        parts=tuple(replace(part, index=index) for index, part in enumerate(filled)),
    )


def check_source(lake: Lake, request: ExportRequest, head: PlanHead) -> None:
    """Return only if what a plan pinned is still there; a retry may come after a vacuum.

    Raises:
        SourceUnavailableError: It is not.
    """
    try:
        for kind, version in head.versions.items():
            lake.check_files(request.app_id, kind, lake.files(request.app_id, kind, version))
    except LakeDamagedError as error:
        raise SourceUnavailableError(
            f"The table versions that the plan pinned are gone; create the export anew. {error}"
        ) from error


def tables_read(request: ExportRequest) -> tuple[Kind, ...]:
    """The tables that an export reads, its own first."""
    kind = request.export_type.kind
    if kind is Kind.DEVICE:
        return (kind, Kind.TAG, Kind.TOKEN)
    if kind in {Kind.TAG, Kind.TOKEN, Kind.FEEDBACK}:
        return (kind, Kind.DEVICE)  # which knows the user
    return (kind, *CONTENT_KINDS) if request.include_info else (kind,)


def find_campaigns(
    lake: Lake, request: ExportRequest, files: Mapping[Kind, Sequence[DataFile]]
) -> tuple[int, ...]:
    """Return the campaigns that a request names, or that were under way in its window."""
    if request.time_range is None or request.export_type is not ExportType.PUSH:
        return tuple(sorted(set(request.campaign_ids)))
    window = replace(selection_of(request, ()), time_range=request.time_range)
    paths = {kind: tuple(file.path for file in some) for kind, some in files.items()}
    return campaigns_in_window(lake, window, paths)


def _check_sum(
    request: ExportRequest, files: Mapping[Kind, Sequence[DataFile]], parts: Sequence[Part]
) -> None:
    """Parts of whole days of history must hold exactly the rows that Delta counts there."""
    kind, span = request.export_type.kind, request.time_range
    if span is None or not span.is_whole_days or kind in SPAN_KINDS or not kind.is_historical:
        return
    days = (span.first_day, span.last_day)
    expected = sum(
        file.rows
        for file in files.get(kind, ())
        if file.day is not None and days[0] <= file.day <= days[1]
    )
    found = sum(part.rows or 0 for part in parts)
    if found != expected:
        raise IncompleteExportError(
            f"The parts must hold the {expected} rows that the table's log counts, got {found}."
        )
