"""This module turns the batches of a round into rows of the lake's tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import polars as pl

from engagement.collect.inbox import StoredBatch, stored_batch
from engagement.model.records import (
    CONTENT_KINDS,
    INFO_COLUMNS,
    JOB_TOLD_BY,
    LOCATION_COLUMNS,
    LOG_COLUMNS,
    SPAN_KINDS,
    Kind,
    derived_guid,
    record_id_prefix,
)
from engagement.store.queries.inbox import InboxRow
from engagement.store.schemas import content_ids, file_schema

ROWS_PER_BATCH_BITS = 20
"""A row's sequence is its batch's inbox position, then its place in the batch; 2^20 rows fit."""

NO_RECORD_ID = pl.lit(None, pl.String()).alias("record_id")
_KEY_COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.TAG: ("device_id", "key"),
    Kind.TOKEN: ("device_id", "type", "token"),
    Kind.FEEDBACK: ("device_id", "campaign_type", "campaign_id"),
    Kind.JOB: ("device_id", "job_id"),
    Kind.SESSION: ("device_id", "session_id"),
    Kind.DEVICE: ("device_id",),
    Kind.INFO: ("info_id",),
    Kind.LOCATION: ("location_id",),
}
"""What names the row that changes amount to, which has the same record id all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The batches of a round, their records turned into columns."""

    batches: list[StoredBatch]
    """The batches, without their records."""
    senders: pl.DataFrame
    """What all records of a batch share, one row a batch."""
    columns: dict[Kind, list[list[object]]]
    """For each kind, the values of each of its `LOG_COLUMNS`, over all batches."""
    counts: dict[Kind, list[int]]
    """For each kind, how many records each batch has."""


def gather_batches(rows: Sequence[InboxRow]) -> Round:
    """Return the batches with their records in columns.

    Each batch is transposed and let go: keeping its tuples would cost more than decoding.
    """
    columns: dict[Kind, list[list[object]]] = {
        kind: [[] for _ in names] for kind, names in LOG_COLUMNS.items()
    }
    counts: dict[Kind, list[int]] = {kind: [] for kind in LOG_COLUMNS}
    batches = []
    for row in rows:
        batch = stored_batch(row)
        for kind in LOG_COLUMNS:
            records = batch.rows.pop(kind.value, ())
            counts[kind].append(len(records))
            if records:
                # A batch that was accepted before a column existed lacks its values.
                values = chain(zip(*records, strict=True), repeat((None,) * len(records)))
                for column, of_batch in zip(columns[kind], values, strict=False):
                    column.extend(of_batch)
        batches.append(batch)
    return Round(batches=batches, senders=_senders(rows, batches), columns=columns, counts=counts)


def record_tables(gathered: Round) -> Iterator[tuple[Kind, pl.DataFrame]]:
    """Yield the rows of each kind that devices report and that occurs, in the order of arrival."""
    for kind, counts in gathered.counts.items():
        if any(counts):
            yield kind, _records(kind, gathered)


def device_rows(gathered: Round) -> pl.DataFrame:
    """What each batch tells of its device, where it counts as seeing it."""
    schema = file_schema(Kind.DEVICE)
    seen = {
        "first_seen_at": [batch.first_at for batch in gathered.batches],
        "seen_at": [batch.last_at for batch in gathered.batches],
    }
    frame = pl.DataFrame(
        [
            *(_column(name, values, schema[name]) for name, values in seen.items()),
            *_told_columns(Kind.INFO, gathered.batches),
            *_told_columns(Kind.LOCATION, gathered.batches),
        ]
    )
    rows = (
        pl.concat([frame, gathered.senders], how="horizontal")
        .with_columns(
            pl.when(pl.col(f"{known}_id").is_not_null()).then("seen_at").alias(f"{known}_at")
            for known in ("user", "info", "location")
        )
        .filter(pl.col("seen_at").is_not_null())
    )
    return with_record_ids(Kind.DEVICE, rows)


def content_rows(kind: Kind, gathered: Round) -> pl.DataFrame:
    """The information, or the locations, that the batches tell: the first of each of a device.

    Returns:
        Columns of the kind's table, and `last_at`, until when the round's records came with it.
    """
    content_id = CONTENT_KINDS[kind]
    last_at = _column(
        "last_at", [batch.last_at for batch in gathered.batches], pl.Datetime("us", "UTC")
    )
    told = pl.DataFrame([last_at, *_told_columns(kind, gathered.batches)])
    rows = (
        pl.concat([gathered.senders, told], how="horizontal")
        .filter(pl.col(content_id).is_not_null())
        .with_columns(
            pl.col("last_at").fill_null(pl.col("received_at")),
            pl.lit(None, pl.String()).alias("user_id"),
        )
        .with_columns(
            pl.col("last_at").alias("told_at"),
            pl.col("last_at").max().over("device_id", content_id),
        )
        .unique(["device_id", content_id], keep="first", maintain_order=True)
    )
    return with_record_ids(kind, rows, also=["last_at"])


def with_record_ids(kind: Kind, rows: pl.DataFrame, *, also: Iterable[str] = ()) -> pl.DataFrame:
    """The rows of a folded kind, each with the record id of the row that it is a change of."""
    keys = rows.select(_KEY_COLUMNS[kind])
    known: dict[tuple[object, ...], str] = {}
    ids = []
    for key in keys.iter_rows():
        record_id = known.get(key)
        if record_id is None:
            record_id = known[key] = derived_guid("record", kind.value, *map(str, key))
        ids.append(record_id)
    with_ids = rows.with_columns(pl.Series("record_id", ids, dtype=pl.String()))
    return with_ids.select(*file_schema(kind), *also)


def _senders(rows: Sequence[InboxRow], batches: Sequence[StoredBatch]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "device_id": [batch.device_id for batch in batches],
            "user_id": [batch.user_id for batch in batches],
            "info_id": [batch.info_id for batch in batches],
            "location_id": [batch.location_id for batch in batches],
            "received_at": [row.received_at for row in rows],
            "batch_id": [row.batch_id for row in rows],
            "sequence": [row.position << ROWS_PER_BATCH_BITS for row in rows],
        },
        schema=_SENDER_SCHEMA,
    )


_SENDER_SCHEMA = {
    "device_id": pl.String(),
    "user_id": pl.String(),
    "info_id": pl.String(),
    "location_id": pl.String(),
    "received_at": pl.Datetime("us", "UTC"),
    "batch_id": pl.String(),
    "sequence": pl.Int64(),
}


def _records(kind: Kind, gathered: Round) -> pl.DataFrame:
    """All records of a kind: their own values, and their batch's repeated beside them."""
    schema = file_schema(kind)
    own = [
        _column(column.name, values, schema[column.name])
        for column, values in zip(LOG_COLUMNS[kind], gathered.columns[kind], strict=True)
    ]
    counts = pl.Series(gathered.counts[kind], dtype=pl.Int64)
    places = pl.int_ranges(counts, eager=True).explode(empty_as_null=False)
    owners = pl.int_range(len(counts), eager=True).repeat_by(counts).explode(empty_as_null=False)
    shared = gathered.senders.select(
        "device_id", "user_id", *content_ids(kind), "received_at", "batch_id", "sequence"
    )[owners].with_columns(pl.col("sequence") + places)
    rows = pl.concat([pl.DataFrame(own), shared], how="horizontal")
    if kind is Kind.FEEDBACK:
        rows = rows.with_columns(pl.col("occurred_at").alias("first_at"))
    if kind is Kind.JOB:
        rows = rows.with_columns(
            pl.when(pl.col(name).is_not_null()).then("sequence").alias(told_by)
            for name, told_by in JOB_TOLD_BY.items()
        )
    if kind in SPAN_KINDS:  # given when they are folded, to fewer rows
        return rows.with_columns(NO_RECORD_ID).select(schema.keys())
    if kind in _KEY_COLUMNS:
        return with_record_ids(kind, rows)
    ids = _record_ids(kind, gathered, owners, places)
    return rows.with_columns(ids.alias("record_id")).select(schema.keys())


def _record_ids(kind: Kind, gathered: Round, owners: pl.Series, places: pl.Series) -> pl.Series:
    """The id of each record: of its tracking message, else of its batch and its place in it."""
    counts = gathered.counts[kind]
    prefixes = [
        record_id_prefix(kind, batch.device_id, batch_id) if count else None
        for batch, batch_id, count in zip(
            gathered.batches, gathered.senders["batch_id"], counts, strict=True
        )
    ]
    place_texts = pl.Series([f"{place:08}" for place in range(max(counts))], dtype=pl.String())
    derived = pl.DataFrame(
        [
            pl.Series("prefix", prefixes, dtype=pl.String())[owners],
            place_texts[places].alias("place"),
        ]
    ).select(pl.concat_str("prefix", "place"))["prefix"]
    if all(batch.record_ids is None for batch in gathered.batches):
        return derived
    of_messages = [
        (batch.record_ids or {}).get(kind.value) or repeat(None, count)
        for batch, count in zip(gathered.batches, counts, strict=True)
    ]
    sent = pl.Series(list(chain.from_iterable(of_messages)), dtype=pl.String())
    return sent.zip_with(sent.is_not_null(), derived)


def _told_columns(kind: Kind, batches: Sequence[StoredBatch]) -> list[pl.Series]:
    """What the batches tell of their devices, a column a property."""
    schema = file_schema(kind)
    contents: list[Mapping[str, object]]
    if kind is Kind.INFO:
        columns, contents = INFO_COLUMNS, [batch.info or {} for batch in batches]
    else:
        columns, contents = LOCATION_COLUMNS, [batch.location or {} for batch in batches]
    return [
        pl.Series(
            column.name, [told.get(column.name) for told in contents], dtype=schema[column.name]
        )
        for column in columns
    ]


def _column(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64()).cast(dtype)
    return pl.Series(name, values, dtype=dtype)
