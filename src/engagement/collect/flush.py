"""This module moves accepted batches from the inbox to the lake: each record exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import polars as pl

from engagement.collect.inbox import StoredBatch, stored_batch
from engagement.collect.sessions import assign_sessions, session_changes, sessionless_devices
from engagement.model.points import Point, Reach, pass_by
from engagement.model.records import INFO_COLUMNS, LOCATION_COLUMNS, Kind
from engagement.store.folds import fold
from engagement.store.lake import Lake, in_order
from engagement.store.queries.inbox import Commit, InboxQueries, InboxRow, OpenSession
from engagement.store.schemas import content_ids, file_schema, own_schema

ROWS_PER_BATCH_BITS = 20
"""A row's sequence is its batch's inbox position, then its place in the batch; 2^20 rows fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushLimits:
    """How much a flush takes, and when silence ends a session."""

    logs_max: int
    """Logs that one round moves at most."""
    session_timeout: timedelta
    """Silence after which an activity without a session id opens a new session."""


class Flush:
    """Moves the inbox to the lake, one Delta commit a table and round."""

    def __init__(
        self,
        inbox: InboxQueries,
        lake: Lake,
        *,
        limits: FlushLimits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        reach: Reach = pass_by,
    ) -> None:
        self._inbox = inbox
        self._lake = lake
        self._limits = limits
        self._clock = clock
        self._reach = reach

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before the call is in the lake, for good.

        The order makes it exactly once: append under the last position's app transaction, fsync,
        and only then let the batches go from the inbox, in the transaction that records the
        commits. A repeat after a crash anywhere in between changes nothing twice.

        Returns:
            How many logs were moved.
        """
        moved = 0
        with self._lake.lock(app_id, Kind.DEVICE):  # one flush of an app at a time
            newest = self._inbox.newest_position(app_id)
            while rows := self._inbox.oldest(
                app_id, logs_max=self._limits.logs_max, position_max=newest
            ):
                self._flush_round(app_id, rows)
                moved += sum(row.logs for row in rows)
        return moved

    def _flush_round(self, app_id: str, rows: Sequence[InboxRow]) -> None:
        tables, sessions = self._tables(app_id, rows)
        self._reach(Point.FLUSH_DECODED)
        made: list[Commit] = []
        for kind, table in tables.items():
            made.append(
                self._lake.append(app_id, kind, in_order(table, kind), position=rows[-1].position)
            )
            self._reach(Point.FLUSH_TABLE_APPENDED)
        self._reach(Point.FLUSH_BEFORE_RECORD)
        self._inbox.record_commits(
            app_id, made, committed_at=self._clock(), sessions=sessions, flushed=rows
        )
        self._reach(Point.FLUSH_AFTER_RECORD)

    def _tables(
        self, app_id: str, rows: Sequence[InboxRow]
    ) -> tuple[dict[Kind, pl.DataFrame], list[OpenSession]]:
        batches = [stored_batch(row) for row in rows]
        senders = _senders(rows, batches)
        tables: dict[Kind, pl.DataFrame] = {
            kind: table
            for kind in Kind
            if kind not in {Kind.SESSION, Kind.DEVICE}
            and not (table := _records(kind, batches, senders)).is_empty()
        }
        sessions: list[OpenSession] = []
        if Kind.ACTIVITY in tables:
            devices = sessionless_devices(tables[Kind.ACTIVITY])
            known = self._inbox.sessions_of(app_id, devices) if devices else []
            tables[Kind.ACTIVITY], sessions = assign_sessions(
                tables[Kind.ACTIVITY], known, timeout=self._limits.session_timeout
            )
            changes = session_changes(tables[Kind.ACTIVITY])
            tables[Kind.SESSION] = fold(Kind.SESSION, changes.lazy()).collect()
        seen = _devices(batches, senders)
        if not seen.is_empty():
            tables[Kind.DEVICE] = fold(Kind.DEVICE, seen.lazy()).collect()
        return tables, sessions


def _senders(rows: Sequence[InboxRow], batches: Sequence[StoredBatch]) -> pl.DataFrame:
    """What all records of a batch share, one row a batch."""
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


def _records(kind: Kind, batches: Sequence[StoredBatch], senders: pl.DataFrame) -> pl.DataFrame:
    """All records of a kind: their own values, and their batch's repeated beside them.

    Columns are made by transposing the tuples, which keeps Python out of the single value.
    """
    per_batch = [batch.rows.get(kind.value, ()) for batch in batches]
    schema = own_schema(kind)
    columns = list(zip(*chain.from_iterable(per_batch), strict=True)) or [()] * len(schema)
    own = pl.DataFrame(
        [
            _column(name, values, dtype)
            for (name, dtype), values in zip(schema.items(), columns, strict=True)
        ]
    )
    counts = pl.Series([len(rows) for rows in per_batch], dtype=pl.Int64)
    places = pl.int_ranges(counts, eager=True).explode(empty_as_null=False)
    owners = pl.int_range(len(batches), eager=True).repeat_by(counts).explode(empty_as_null=False)
    shared = senders.select(
        "device_id", "user_id", *content_ids(kind), "received_at", "batch_id", "sequence"
    )[owners].with_columns(pl.col("sequence") + places)
    return pl.concat([own, shared], how="horizontal").select(file_schema(kind).keys())


def _column(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64()).cast(dtype)
    return pl.Series(name, values, dtype=dtype)


def _devices(batches: Sequence[StoredBatch], senders: pl.DataFrame) -> pl.DataFrame:
    """What each batch says of its device."""
    schema = file_schema(Kind.DEVICE)
    told: dict[str, list[str | int | None]] = {
        column.name: [(batch.info or {}).get(column.name) for batch in batches]
        for column in INFO_COLUMNS
    } | {
        column.name: [(batch.location or {}).get(column.name) for batch in batches]
        for column in LOCATION_COLUMNS
    }
    seen: dict[str, list[int]] = {
        "first_seen_at": [batch.first_at for batch in batches],
        "seen_at": [batch.last_at for batch in batches],
    }
    frame = pl.DataFrame(
        [
            *(_column(name, values, schema[name]) for name, values in seen.items()),
            *(pl.Series(name, values, dtype=schema[name]) for name, values in told.items()),
        ]
    )
    return (
        pl.concat([frame, senders], how="horizontal")
        .with_columns(
            pl.when(pl.col("info_id").is_not_null()).then("seen_at").alias("info_at"),
            pl.when(pl.col("location_id").is_not_null()).then("seen_at").alias("location_at"),
        )
        .filter(pl.Series([bool(batch.rows) for batch in batches], dtype=pl.Boolean()))
        .select(schema.keys())
    )
