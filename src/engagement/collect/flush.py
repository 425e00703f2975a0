"""Moves accepted batches from the inbox to the lake: each record exactly once."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
import structlog

from engagement.collect.inbox import read_sender
from engagement.collect.record_tables import (
    content_rows,
    device_rows,
    distinct_contents,
    gather_batches,
    record_tables,
    with_record_ids,
)
from engagement.collect.sessions import assign_sessions, session_changes
from engagement.collect.spans import place_spans
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, Kind
from engagement.store.committing import Committer
from engagement.store.folds import fold
from engagement.store.lake import Lake
from engagement.store.queries.erased import ErasedQueries
from engagement.store.queries.inbox import InboxQueries, InboxRow
from engagement.store.queries.sightings import (
    Content,
    OpenSession,
    SightingQueries,
    Sightings,
    Span,
    derive_sighting_keys,
)
from engagement.store.queries.staging import StagingQueries
from engagement.store.row_order import in_order, partition_day
from engagement.telemetry import record_span

_log = structlog.get_logger()
ROUNDS_PER_COMMIT = 16
"""Rounds that wait for a commit at most, so that a long flush is seen before its end."""
FILES_PER_ROUND_MAX = 2_000
"""Files of a round of several batches. A file costs time and memory, whatever is in it, and a day
has its own; a batch of the largest size has as many days, and sessions of as many others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushLimits:
    """How much a flush takes, and when silence ends a session."""

    records_max: int
    """Records that one round moves at most."""
    session_timeout: timedelta
    """Silence after which an activity without a session id opens a new session."""
    files_max: int = FILES_PER_ROUND_MAX
    """Files that a round writes at most, unless it is one batch; and about as many a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """What a round moved."""

    records: int
    files: int


class Flush:
    """Moves the inbox to the lake: rounds of batches are staged, then committed together."""

    def __init__(  # noqa: PLR0913 - what it works with, which tests exchange
        self,
        inbox: InboxQueries,
        staging: StagingQueries,
        seen: SightingQueries,
        erased: ErasedQueries,
        lake: Lake,
        *,
        limits: FlushLimits,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_failpoint: FailpointHook = no_failpoint,
    ) -> None:
        self._inbox = inbox
        self._staging = staging
        self._seen = seen
        self._erased = erased
        self._lake = lake
        self._limits = limits
        self._clock = clock
        self._on_failpoint = on_failpoint
        self._committer = Committer(inbox, staging, lake, clock=clock, on_failpoint=on_failpoint)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before the call is in the lake, for good.

        The order makes it exactly once: files are written and synced, and batches leave the inbox
        in the transaction that stages their files. A crash before it leaves files that no table
        refers to; after it the files are committed under a number that the table keeps.

        Returns:
            How many records were moved.
        """
        with self._lake.flush_lock(app_id):
            return self._flush(app_id)

    def flush_if_free(self, app_id: str) -> int:
        """Do the same, or nothing if somebody else flushes the app right now."""
        with self._lake.flush_lock_if_free(app_id) as is_held:
            return self._flush(app_id) if is_held else 0

    def commit(self, app_id: str) -> None:
        """Return only when all that was staged of an app is in its tables."""
        self._committer.commit(app_id)

    def _flush(self, app_id: str) -> int:
        moved = 0
        began = time.monotonic()
        newest = self._inbox.newest_position(app_id)
        rounds = files = 0
        while rows := self._inbox.oldest(
            app_id, records_max=self._limits.records_max, position_max=newest
        ):
            waiting = [rows]
            while waiting:
                some = waiting.pop()
                staged = self._stage(app_id, some)
                if staged is None:
                    middle = len(some) // 2
                    waiting += some[middle:], some[:middle]
                    continue
                moved += staged.records
                files += staged.files
                rounds += 1
                if rounds >= ROUNDS_PER_COMMIT or files >= self._limits.files_max:
                    self._committer.commit(app_id)
                    rounds = files = 0
        self._committer.commit(app_id)
        if moved:
            seconds = round(time.monotonic() - began, 3)
            _log.info("flushed", app=app_id, records=moved, seconds=seconds)
            record_span("flush", seconds=seconds, app=app_id, records=moved)
        return moved

    def _stage(self, app_id: str, rows: Sequence[InboxRow]) -> _Staged | None:
        """Write what a round of batches becomes, and stage it.

        Returns:
            How much it was; None if nothing was done, as it would be too many files for a round.
        """
        tables, seen = self._tables(app_id, rows)
        if len(rows) > 1 and _count_files(tables) > self._limits.files_max:
            return None  # to decode it again costs little beside as many files
        self._on_failpoint(Failpoint.FLUSH_DECODED)
        changes = {
            kind: self._lake.write_rows(app_id, kind, in_order(table, kind))
            for kind, table in tables.items()
        }
        self._on_failpoint(Failpoint.FLUSH_FILES_WRITTEN)
        if not self._staging.stage_round(app_id, rows, changes, seen=seen, staged_at=self._clock()):
            for kind, change in changes.items():
                self._lake.delete_files(app_id, kind, [file.path for file in change.added])
            return _Staged(records=0, files=0)
        self._on_failpoint(Failpoint.FLUSH_STAGED)
        return _Staged(
            records=sum(row.records for row in rows),
            files=sum(len(change.added) for change in changes.values()),
        )

    def _tables(
        self, app_id: str, rows: Sequence[InboxRow]
    ) -> tuple[dict[Kind, pl.DataFrame], Sightings]:
        """The rows of each table, and what must be known of them by the flushes that follow."""
        rows = self._leave_out_erased(app_id, rows)
        if not rows:
            return {}, Sightings()
        gathered = gather_batches(rows)
        tables = dict(record_tables(gathered))
        sessions: list[OpenSession] = []
        if Kind.ACTIVITY in tables:
            with closing(self._known_sessions(app_id, tables[Kind.ACTIVITY])) as known:
                tables[Kind.ACTIVITY], sessions = assign_sessions(
                    tables[Kind.ACTIVITY], known, timeout=self._limits.session_timeout
                )
            tables[Kind.SESSION] = session_changes(tables[Kind.ACTIVITY])
        spans: list[Span] = []
        for kind in SPAN_KINDS:
            if kind in tables:
                tables[kind], changed = self._placed(app_id, kind, tables[kind])
                spans += changed
        contents: list[Content] = []
        for kind in CONTENT_KINDS:
            places, changed_contents = self._unknown(
                app_id, kind, distinct_contents(kind, gathered)
            )
            contents += changed_contents
            if places:
                tables[kind] = content_rows(kind, gathered, places)
        seen = device_rows(gathered)
        if not seen.is_empty():
            # Not folded: a snapshot as of an instant leaves out the batches that came after it.
            tables[Kind.DEVICE] = seen
        return tables, Sightings(sessions=sessions, spans=spans, contents=contents)

    def _leave_out_erased(self, app_id: str, rows: Sequence[InboxRow]) -> Sequence[InboxRow]:
        """The batches of devices that are not erased.

        Of one that is, a batch is here that came when its erasure was not known everywhere yet.
        """
        if self._erased.find_last_at(app_id) is None:
            return rows
        senders = [read_sender(row) for row in rows]
        erased = self._erased.find(app_id, set(senders))
        return [row for row, sender in zip(rows, senders, strict=True) if sender not in erased]

    def _placed(
        self, app_id: str, kind: Kind, changes: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[Span]]:
        """The round's sessions or jobs, each one row in the partition that holds all of it."""
        folded = with_record_ids(kind, fold(kind, changes.lazy()).collect())
        ids = folded.select("device_id", SPAN_KINDS[kind]).iter_rows()
        keys = derive_sighting_keys(app_id, kind, ids)
        return place_spans(folded, keys, self._seen.spans(keys))

    def _unknown(
        self, app_id: str, kind: Kind, contents: pl.DataFrame
    ) -> tuple[list[int], list[Content]]:
        """Which batches tell information or locations that the lake lacks; what is new of all."""
        ids = contents.select("device_id", CONTENT_KINDS[kind]).iter_rows()
        keys = derive_sighting_keys(app_id, kind, ids)
        known = self._seen.contents(keys)
        places_and_days = contents.select("place", pl.col("last_at").dt.date()).iter_rows()
        unknown: list[int] = []
        changed: list[Content] = []
        for key, (place, day) in zip(keys, places_and_days, strict=True):
            before = known.get(key)
            if before is None:
                unknown.append(place)
            if before is None or before < day:
                changed.append(Content(key=key, last_day=day))
        return unknown, changed

    def _known_sessions(self, app_id: str, activities: pl.DataFrame) -> Generator[OpenSession]:
        """The opened sessions that activities without a session id may belong to."""
        lacking = activities.filter(pl.col("session_id").is_null())
        if not lacking.is_empty():
            timeout = self._limits.session_timeout
            span = lacking.select(
                since=pl.col("timestamp").min() - timeout,
                until=pl.max_horizontal("timestamp", "end").max() + timeout,
            ).row(0, named=True)
            yield from self._seen.sessions_of(app_id, lacking["device_id"].unique(), **span)


def _count_files(tables: Mapping[Kind, pl.DataFrame]) -> int:
    """How many files the rows become: one a table, or one for each of its days."""
    return sum(
        table.select(partition_day(table, kind).n_unique()).item() if kind.is_historical else 1
        for kind, table in tables.items()
    )
