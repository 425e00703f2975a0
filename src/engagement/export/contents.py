"""Joins records with the information and the location that they name by id."""

import polars as pl

from engagement.model.plan import Part
from engagement.model.records import CONTENT_KINDS, INFO_COLUMNS, LOCATION_COLUMNS, Kind
from engagement.store.lake import Lake
from engagement.store.schemas import file_schema

_CONTENT_COLUMNS = {Kind.INFO: INFO_COLUMNS, Kind.LOCATION: LOCATION_COLUMNS}


def with_contents(lake: Lake, app_id: str, part: Part, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows in their order, with the columns of what their `info_id` and `location_id` name.

    Only what the rows' own devices told is read, so that the memory depends on the rows alone.
    """
    frame = rows.collect(engine="in-memory")
    for kind, content_id in CONTENT_KINDS.items():
        if content_id not in frame.columns:
            continue
        columns = [column.name for column in _CONTENT_COLUMNS[kind]]
        devices = frame.filter(pl.col(content_id).is_not_null())["device_id"].unique().sort()
        paths = part.files.get(kind, ())
        if devices.is_empty() or not paths:
            kept = pl.LazyFrame(schema=file_schema(kind))
        else:
            # The bounds let the reader skip row groups, which a set of ids does not.
            kept = lake.scan(app_id, kind, paths).filter(
                pl.col("device_id").is_between(pl.lit(devices[0]), pl.lit(devices[-1])),
                pl.col("device_id").is_in(devices.implode()),
            )
        contents = kept.select(content_id, *columns).unique(content_id).collect(engine="streaming")
        frame = frame.join(contents, on=content_id, how="left", maintain_order="left")
    return frame.lazy()
