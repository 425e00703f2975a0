"""Turns the batches of a round into rows of the lake's tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, zip_longest
from typing import cast

import polars as pl

from engagement.collect.inbox import StoredBatch, decode_stored_batch, list_records
from engagement.collect.packed_columns import (
    SEPARATOR,
    PackedColumn,
    unpack_column,
    unpack_integers,
)
from engagement.model.records import (
    CONTENT_KINDS,
    INFO_COLUMNS,
    JOB_TOLD_BY,
    LOCATION_COLUMNS,
    RECORD_COLUMNS,
    ROWS_PER_BATCH_BITS,
    SPAN_KINDS,
    Column,
    Kind,
    derive_guid,
    record_id_prefixes,
)
from engagement.store.queries.inbox import InboxRow
from engagement.store.schemas import content_ids, file_schema

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
    contents: Mapping[Kind, pl.DataFrame]
    """The information and the location that each batch tells, one row a batch, null if none."""
    columns: dict[Kind, list[list[PackedColumn]]]
    """For each kind, the values of each of its `RECORD_COLUMNS`, of each batch that has some."""
    counts: dict[Kind, list[int]]
    """For each kind, how many records each batch has."""


def gather_batches(rows: Sequence[InboxRow]) -> Round:
    """Return the batches with their records in columns."""
    columns: dict[Kind, list[list[PackedColumn]]] = {
        kind: [[] for _ in names] for kind, names in RECORD_COLUMNS.items()
    }
    counts: dict[Kind, list[int]] = {kind: [0] * len(rows) for kind in RECORD_COLUMNS}
    batches = []
    for place, row in enumerate(rows):
        batch = decode_stored_batch(row)
        for records in list_records(batch):
            counts[records.kind][place] = records.count
            # One that was accepted before there were more columns lacks the last.
            for column, packed in zip_longest(columns[records.kind], records.columns):
                column.append(packed)
        batch.records.clear()
        batches.append(batch)
    return Round(
        batches=batches,
        senders=_senders(rows, batches),
        contents={
            Kind.INFO: _told_content(Kind.INFO, INFO_COLUMNS, [each.info for each in batches]),
            Kind.LOCATION: _told_content(
                Kind.LOCATION, LOCATION_COLUMNS, [each.location for each in batches]
            ),
        },
        columns=columns,
        counts=counts,
    )


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
    times = pl.DataFrame(
        [_make_column(name, values, schema[name]) for name, values in seen.items()]
    )
    rows = (
        pl.concat([times, *gathered.contents.values(), gathered.senders], how="horizontal")
        .with_columns(
            pl.when(pl.col(f"{known}_id").is_not_null()).then("seen_at").alias(f"{known}_at")
            for known in ("user", "info", "location")
        )
        .filter(pl.col("seen_at").is_not_null())
    )
    return with_record_ids(Kind.DEVICE, rows)


def distinct_contents(kind: Kind, gathered: Round) -> pl.DataFrame:
    """What information, or which locations, the round's devices told.

    Returns:
        Each of a device once: `device_id`, the content's id, `place`, the place of the first batch
        that told it, and `last_at`, until when the round's records came with it.
    """
    content_id = CONTENT_KINDS[kind]
    last_at = _make_column(
        "last_at", [batch.last_at for batch in gathered.batches], pl.Datetime("us", "UTC")
    )
    return (
        gathered.senders.select("device_id", content_id, "received_at")
        .with_columns(last_at, pl.int_range(pl.len()).alias("place"))
        .filter(pl.col(content_id).is_not_null())
        .group_by("device_id", content_id, maintain_order=True)
        .agg(
            pl.col("place").first(),
            pl.coalesce("last_at", "received_at").max().alias("last_at"),
        )
    )


def content_rows(kind: Kind, gathered: Round, places: Sequence[int]) -> pl.DataFrame:
    """The rows of the information, or the locations, that some batches told.

    Args:
        kind: Which of the two.
        gathered: The round.
        places: The places of the batches.
    """
    told_at = _make_column(
        "told_at",
        [gathered.batches[place].last_at for place in places],
        pl.Datetime("us", "UTC"),
    )
    senders = gathered.senders[places]
    rows = pl.concat([senders, gathered.contents[kind][places]], how="horizontal").with_columns(
        told_at.zip_with(told_at.is_not_null(), senders["received_at"]),
        pl.lit(None, pl.String()).alias("user_id"),
    )
    return with_record_ids(kind, rows)


def with_record_ids(kind: Kind, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a folded kind, each with the record id of the row that it is a change of."""
    head = f"record\0{kind.value}"
    keys = rows.select(pl.concat_str(pl.lit(head), *_KEY_COLUMNS[kind], separator="\0"))
    ids = {key: derive_guid(key) for key in keys.to_series().unique().to_list()}
    record_ids = keys.to_series().replace_strict(ids, return_dtype=pl.String())
    return rows.with_columns(record_ids.alias("record_id")).select(file_schema(kind).keys())


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
    filled = list(filter(None, gathered.counts[kind]))
    own = [
        unpack_columns(column.name, schema[column.name], packed, filled)
        for column, packed in zip(RECORD_COLUMNS[kind], gathered.columns[kind], strict=True)
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
    name = kind.value
    sent_ids = [batch.record_ids and batch.record_ids.get(name) for batch in gathered.batches]
    lack_ids = [bool(count) and not ids for count, ids in zip(counts, sent_ids, strict=True)]
    senders = gathered.senders.select("device_id", "batch_id").filter(lack_ids)
    prefixes = iter(record_id_prefixes(kind, senders.iter_rows()))
    of_batches = [next(prefixes) if lacks else None for lacks in lack_ids]
    place_texts = pl.Series([f"{place:08}" for place in range(max(counts))], dtype=pl.String())
    derived = pl.DataFrame(
        [
            pl.Series("prefix", of_batches, dtype=pl.String())[owners],
            place_texts[places].alias("place"),
        ]
    ).select(pl.concat_str("prefix", "place"))["prefix"]
    if not any(sent_ids):
        return derived
    of_records = (ids or repeat(None, count) for ids, count in zip(sent_ids, counts, strict=True))
    sent = pl.Series(list(chain.from_iterable(of_records)), dtype=pl.String())
    return sent.zip_with(sent.is_not_null(), derived)


def _told_content(
    kind: Kind, columns: Sequence[Column], contents: Sequence[Mapping[str, object] | None]
) -> pl.DataFrame:
    """What the batches tell of their devices, a column a property and a row a batch."""
    schema = file_schema(kind)
    properties = [content or {} for content in contents]
    names = set().union(*properties)
    return pl.DataFrame(
        pl.Series(
            column.name,
            [content.get(column.name) for content in properties]
            if column.name in names
            else repeat(None, len(properties)),
            dtype=schema[column.name],
        )
        for column in columns
    )


def unpack_columns(
    name: str, dtype: pl.DataType, packed: Sequence[PackedColumn], counts: Sequence[int]
) -> pl.Series:
    """Return the values of some batches, one after another, as one column.

    Args:
        name: The column's.
        dtype: The column's; times are kept in microseconds since 1970.
        packed: The values of each batch.
        counts: How many they are of each batch; none has none.
    """
    forms = set(map(type, packed))
    if forms == {type(None)}:
        return pl.repeat(None, sum(counts), dtype=dtype, eager=True).alias(name)
    if forms == {str}:
        texts = pl.Series(name, packed, dtype=pl.String())
        return texts.str.split(SEPARATOR).explode(empty_as_null=False)
    if forms == {bytes}:
        integers = unpack_integers(cast("Sequence[bytes]", packed))
        return _make_column(name, integers, dtype)
    values: list[object] = []
    for column, count in zip(packed, counts, strict=True):
        values.extend(unpack_column(column, count))
    return _make_column(name, values, dtype)


def _make_column(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    """Values as a column; times are given in microseconds since 1970."""
    if isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64()).cast(dtype)
    return pl.Series(name, values, dtype=dtype)
