"""Derives the columns of each kind's table from the model."""

import polars as pl

from engagement.model.records import TIME_COLUMN, ColumnType, Kind, own_columns

_POLARS_TYPES: dict[ColumnType, pl.DataType] = {
    ColumnType.GUID: pl.String(),
    ColumnType.STRING: pl.String(),
    ColumnType.JSON: pl.String(),
    ColumnType.TIMESTAMP: pl.Datetime("us", "UTC"),
    ColumnType.INTEGER: pl.Int64(),
    ColumnType.BOOLEAN: pl.Boolean(),
}

_CONTENT_IDS: dict[Kind, tuple[str, ...]] = {
    Kind.JOB: ("info_id",),
    Kind.TAG: (),
    Kind.TOKEN: (),
    Kind.FEEDBACK: (),
    Kind.INFO: (),
    Kind.LOCATION: (),
}


def own_schema(kind: Kind) -> dict[str, pl.DataType]:
    """The columns that only this kind has."""
    return {column.name: _POLARS_TYPES[column.type] for column in own_columns(kind)}


def content_ids(kind: Kind) -> tuple[str, ...]:
    """Which of `info_id` and `location_id` this kind's records carry."""
    return _CONTENT_IDS.get(kind, ("info_id", "location_id"))


def file_schema(kind: Kind) -> dict[str, pl.DataType]:
    """The columns of the kind's Parquet files, in order; the partition column is not in them."""
    return {
        "device_id": pl.String(),
        "user_id": pl.String(),
        **own_schema(kind),
        **dict.fromkeys(content_ids(kind), pl.String()),
        "received_at": pl.Datetime("us", "UTC"),
        "batch_id": pl.String(),
        "sequence": pl.Int64(),
        "record_id": pl.String(),
    }


def table_schema(kind: Kind) -> dict[str, pl.DataType]:
    """The columns of the kind's table; historical kinds are partitioned by UTC day."""
    partition = {"date": pl.Date()} if kind.is_historical else {}
    return file_schema(kind) | partition


def sort_columns(kind: Kind) -> list[str]:
    """The order of rows in every file: a total one, so that equal rows give equal bytes."""
    return ["device_id", TIME_COLUMN[kind], "sequence"]
