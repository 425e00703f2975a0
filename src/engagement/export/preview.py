"""Shows the first rows of an export as its files would hold them, without making one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import polars as pl

from engagement.export.contents import with_contents
from engagement.export.formats import Encoding, encode, group_rows, must_be_grouped
from engagement.export.freeze import find_campaigns, tables_read
from engagement.export.plan import empty_part, plan_parts
from engagement.export.requests import selection_of, shape_of_request
from engagement.export.rows import part_slices
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat
from engagement.model.records import Kind
from engagement.store.commits import Commit
from engagement.store.lake import Lake

PARTS_MAX = 5
"""So many parts are looked through for rows."""


def preview_rows(
    lake: Lake,
    request: ExportRequest,
    commits: Mapping[Kind, Commit],
    *,
    part_rows_target: int,
    rows_max: int,
) -> bytes:
    """Return the first rows that were found, in the request's format; Parquet as NDJSON."""
    is_parquet = request.export_format is ExportFormat.PARQUET
    readable = replace(
        request,
        compression=Compression.NONE,
        export_format=ExportFormat.NDJSON if is_parquet else request.export_format,
    )
    encoding = Encoding(
        kind=readable.export_type.kind,
        shape=shape_of_request(request),
        export_format=readable.export_format,
        compression=readable.compression,
        csv_formula_guard=readable.csv_formula_guard,
        for_excel=readable.excel,
    )
    found = pl.concat(
        list(_first_rows(lake, readable, commits, part_rows_target, rows_max)), how="vertical"
    ).lazy()
    rows = found.head(rows_max)
    if must_be_grouped(encoding):
        rows = group_rows(rows, encoding)
    return b"".join(bytes(chunk.data) for chunk in encode([rows], encoding))


def _first_rows(
    lake: Lake,
    request: ExportRequest,
    commits: Mapping[Kind, Commit],
    part_rows_target: int,
    rows_max: int,
) -> Iterator[pl.DataFrame]:
    """The first rows of the first parts; at least one frame, since it has the columns."""
    files = {
        kind: lake.files(request.app_id, kind, commits[kind].version)
        for kind in tables_read(request)
        if kind in commits
    }
    selection = selection_of(request, find_campaigns(lake, request, files))
    parts = plan_parts(
        request.export_type,
        files,
        time_range=selection.time_range,
        part_rows_target=part_rows_target,
        time_axis=selection.time_axis,
    )
    left = rows_max
    for part in parts[:PARTS_MAX] or [empty_part()]:
        rows = next(part_slices(lake, selection, part))
        if request.include_info:
            rows = with_contents(lake, request.app_id, part, rows)
        frame = rows.head(left).collect(engine="streaming")
        left -= frame.height
        yield frame
        if left <= 0:
            return
