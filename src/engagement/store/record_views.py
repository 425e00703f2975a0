"""Reads from the tables what pages show of them: what occurs most, came last, or a device did."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from engagement.model.records import SPAN_KINDS, TIME_COLUMN, Kind
from engagement.model.seen_records import SeenRecord, TopCounts
from engagement.store.data_files import DataFile
from engagement.store.folds import fold
from engagement.store.lake import Lake

COUNTED_ROWS_MAX = 2_000_000
"""Rows that are counted at most, so that a page of a large app is quick."""
TOP_MAX = 20
VERSION_COLUMNS = ("application_version_name", "firmware_name", "firmware_version")

FilesByKind = Mapping[Kind, Sequence[DataFile]]
RecordPlace = tuple[datetime, int, int]
"""A record's time, its sequence and the place of its kind among all kinds."""

_KINDS = tuple(Kind)


def count_names(lake: Lake, app_id: str, kind: Kind, files: Sequence[DataFile]) -> TopCounts:
    """The names that occur most in some files of a kind."""
    return _count_top(lake, app_id, kind, files, ("name",))


def count_device_versions(lake: Lake, app_id: str, files: Sequence[DataFile]) -> TopCounts:
    """What devices told last of their app's version and their system, by files of devices."""
    return _count_top(lake, app_id, Kind.DEVICE, files, VERSION_COLUMNS)


def read_newest(lake: Lake, app_id: str, files: FilesByKind, *, limit: int) -> list[SeenRecord]:
    """The records that came last, the newest first; kinds of which every row stays a record."""
    found: list[SeenRecord] = []
    for kind, of_kind in files.items():
        paths = [file.path for file in _choose_newest(of_kind, limit)]
        if paths:
            rows = lake.scan(app_id, kind, paths)
            found += _collect(kind, rows.top_k(limit, by=["received_at", "sequence"]))
    found.sort(key=lambda record: (record.received_at, record.sequence), reverse=True)
    return found[:limit]


def read_history(  # noqa: PLR0913 - whose, of what, and how much
    lake: Lake,
    app_id: str,
    device_id: str,
    files: FilesByKind,
    *,
    limit: int,
    before: RecordPlace | None,
) -> list[SeenRecord]:
    """What a device did before a place, the newest first."""
    found: list[SeenRecord] = []
    for kind, of_kind in files.items():
        paths = [
            file.path
            for file in of_kind
            if file.device_min <= device_id <= file.device_max
            and (before is None or kind in SPAN_KINDS or file.time_min <= before[0])
        ]
        if not paths:
            continue
        rows = lake.scan(app_id, kind, paths).filter(pl.col("device_id") == device_id)
        if kind in SPAN_KINDS:
            rows = fold(kind, rows)
        if before is not None:
            rows = rows.filter(_is_before(kind, before))
        found += _collect(kind, rows.top_k(limit, by=[TIME_COLUMN[kind], "sequence"]))
    return sorted(found, key=place_of, reverse=True)[:limit]


def place_of(record: SeenRecord) -> RecordPlace:
    """The place of a record in its device's history, which no other has."""
    return record.at, record.sequence, _KINDS.index(record.kind)


def _count_top(
    lake: Lake, app_id: str, kind: Kind, files: Sequence[DataFile], columns: Sequence[str]
) -> TopCounts:
    total = sum(file.rows for file in files)
    chosen: list[DataFile] = []
    counted = 0
    for file in sorted(files, key=lambda file: file.time_max, reverse=True):
        if chosen and counted + file.rows > COUNTED_ROWS_MAX:
            break
        chosen.append(file)
        counted += file.rows
    if not chosen:
        return TopCounts(rows=(), counted=0, total=total)
    rows = lake.scan(app_id, kind, [file.path for file in chosen])
    if kind is Kind.DEVICE:  # each telling of a device is a row
        known = rows.filter(pl.col("info_id").is_not_null())
        last = pl.col(*columns).sort_by("info_at", "info_id").last()
        rows = known.group_by("device_id").agg(last)
    counts = rows.group_by(*columns).len(name="times").top_k(TOP_MAX, by="times").collect()
    ordered = counts.sort("times", *columns, descending=[True, *[False] * len(columns)])
    return TopCounts(
        rows=[(tuple(value or "" for value in row[:-1]), row[-1]) for row in ordered.iter_rows()],
        counted=counted,
        total=total,
    )


def _collect(kind: Kind, rows: pl.LazyFrame) -> list[SeenRecord]:
    return [_seen_record(kind, row) for row in rows.collect().iter_rows(named=True)]


def _seen_record(kind: Kind, row: Mapping[str, Any]) -> SeenRecord:
    return SeenRecord(
        kind=kind,
        at=row[TIME_COLUMN[kind]],
        device_id=row["device_id"],
        user_id=row["user_id"],
        name=row["session_id"] if kind is Kind.SESSION else row["name"],
        end=row.get("end"),
        extras=row.get("extras") or row.get("stack"),
        received_at=row["received_at"],
        sequence=row["sequence"],
    )


def _choose_newest(files: Sequence[DataFile], limit: int) -> list[DataFile]:
    """The files that may hold one of the rows that were received last."""
    ordered = sorted(files, key=lambda file: _receipts(file)[1], reverse=True)
    rows, earliest = 0, None
    for file in ordered:
        begin = _receipts(file)[0]
        rows, earliest = rows + file.rows, begin if earliest is None else min(earliest, begin)
        if rows >= limit:
            break
    return [file for file in ordered if earliest is not None and _receipts(file)[1] >= earliest]


def _receipts(file: DataFile) -> tuple[datetime, datetime]:
    return file.received_min or file.time_min, file.received_max or file.time_max


def _is_before(kind: Kind, before: RecordPlace) -> pl.Expr:
    at, sequence, order = before
    time, place = pl.col(TIME_COLUMN[kind]), pl.col("sequence")
    is_same = (time == at) & (place == sequence) & pl.lit(_KINDS.index(kind) < order)
    return (time < at) | ((time == at) & (place < sequence)) | is_same
