"""This module moves accepted batches from the inbox to the lake: each record exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from engagement.collect.inbox import StoredBatch, stored_batch
from engagement.collect.sessions import assign_sessions, session_changes
from engagement.model.points import Point, Reach, pass_by
from engagement.model.records import INFO_COLUMNS, LOCATION_COLUMNS, LOG_COLUMNS, Kind
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
        self._whole: set[str] = set()
        """Apps whose last round is recorded in this process, so that no table is ahead."""

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before the call is in the lake, for good.

        The order makes it exactly once: append under the last position's app transaction, fsync,
        and only then let the batches go from the inbox, in the transaction that records the
        commits. A repeat after a crash anywhere in between changes nothing twice: a round that
        some tables hold already is repeated as it was, without the batches that came later.

        Returns:
            How many logs were moved.
        """
        moved = 0
        with self._lake.lock(app_id, Kind.DEVICE):  # one flush of an app at a time
            newest = self._inbox.newest_position(app_id)
            held = 0 if app_id in self._whole else self._lake.held_position(app_id)
            while rows := self._inbox.oldest(
                app_id, logs_max=self._limits.logs_max, position_max=newest
            ):
                if rows[0].position <= held:
                    rows = [row for row in rows if row.position <= held]
                self._whole.discard(app_id)
                self._flush_round(app_id, rows)
                self._whole.add(app_id)
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
        gathered = _gather(rows)
        senders = _senders(rows, gathered.batches)
        tables: dict[Kind, pl.DataFrame] = {
            kind: _records(kind, gathered, senders)
            for kind, counts in gathered.counts.items()
            if any(counts)
        }
        sessions: list[OpenSession] = []
        if Kind.ACTIVITY in tables:
            known = self._known_sessions(app_id, tables[Kind.ACTIVITY])
            tables[Kind.ACTIVITY], sessions = assign_sessions(
                tables[Kind.ACTIVITY], known, timeout=self._limits.session_timeout
            )
            changes = session_changes(tables[Kind.ACTIVITY])
            tables[Kind.SESSION] = fold(Kind.SESSION, changes.lazy()).collect()
        seen = _devices(gathered.batches, senders)
        if not seen.is_empty():
            # Not folded: a snapshot as of an instant leaves out the batches that came after it.
            tables[Kind.DEVICE] = seen
        return tables, sessions

    def _known_sessions(self, app_id: str, activities: pl.DataFrame) -> list[OpenSession]:
        """The opened sessions that activities without a session id may belong to."""
        lacking = activities.filter(pl.col("session_id").is_null())
        if lacking.is_empty():
            return []
        timeout = self._limits.session_timeout
        span = lacking.select(
            since=pl.col("timestamp").min() - timeout,
            until=pl.max_horizontal("timestamp", "end").max() + timeout,
        ).row(0, named=True)
        return self._inbox.sessions_of(app_id, lacking["device_id"].unique(), **span)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    """The batches of a round, their records turned into columns."""

    batches: list[StoredBatch]
    """The batches, without their records."""
    columns: dict[Kind, list[list[object]]]
    """For each kind, the values of each of its own columns, over all batches."""
    counts: dict[Kind, list[int]]
    """For each kind, how many records each batch has."""


def _gather(rows: Sequence[InboxRow]) -> _Gathered:
    """Each batch is transposed and let go: keeping its tuples would cost more than decoding."""
    columns: dict[Kind, list[list[object]]] = {
        kind: [[] for _ in own_schema(kind)] for kind in LOG_COLUMNS
    }
    counts: dict[Kind, list[int]] = {kind: [] for kind in LOG_COLUMNS}
    batches = []
    for row in rows:
        batch = stored_batch(row)
        for kind in LOG_COLUMNS:
            records = batch.rows.pop(kind.value, ())
            counts[kind].append(len(records))
            for column, values in zip(columns[kind], zip(*records, strict=True), strict=False):
                column.extend(values)
        batches.append(batch)
    return _Gathered(batches=batches, columns=columns, counts=counts)


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


def _records(kind: Kind, gathered: _Gathered, senders: pl.DataFrame) -> pl.DataFrame:
    """All records of a kind: their own values, and their batch's repeated beside them."""
    own = pl.DataFrame(
        [
            _column(name, values, dtype)
            for (name, dtype), values in zip(
                own_schema(kind).items(), gathered.columns[kind], strict=True
            )
        ]
    )
    counts = pl.Series(gathered.counts[kind], dtype=pl.Int64)
    places = pl.int_ranges(counts, eager=True).explode(empty_as_null=False)
    owners = pl.int_range(len(counts), eager=True).repeat_by(counts).explode(empty_as_null=False)
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
    seen: dict[str, list[int | None]] = {
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
            pl.when(pl.col(f"{known}_id").is_not_null()).then("seen_at").alias(f"{known}_at")
            for known in ("user", "info", "location")
        )
        .filter(pl.col("seen_at").is_not_null())
        .select(schema.keys())
    )
