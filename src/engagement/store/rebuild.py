"""Rebuilds from an app's tables what the state database must know of them, after it was lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import polars as pl

from engagement.exceptions import LakeDamagedError
from engagement.model.records import (
    CONTENT_KINDS,
    ROWS_PER_BATCH_BITS,
    SPAN_KINDS,
    Kind,
    derive_session_id,
)
from engagement.store.data_files import DataFile, count_rows
from engagement.store.delta_log import find_newest_number
from engagement.store.inspection import LakeInspection
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.sightings import (
    Content,
    OpenSession,
    SightingQueries,
    Sightings,
    Span,
    derive_sighting_keys,
)
from engagement.store.queries.staging import ClosedCommit, StagingQueries
from engagement.store.schemas import content_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltApp:
    """What was found again of an app."""

    app_id: str
    """The app."""
    tables: int = 0
    """Tables that are in use again."""
    rows: int = 0
    """Rows that they hold."""
    batches: int = 0
    """Batches that are known as accepted again."""
    sessions: int = 0
    """Sessions and jobs that later reports go on with."""
    damaged: tuple[str, ...] = ()
    """What is wrong with tables that are refused."""
    unnamed: tuple[str, ...] = ()
    """Files that no table names: what is in them may have been acknowledged and not committed."""


class LakeRebuild:
    """Reads an app's tables and writes what they tell into an empty state database.

    Safe to repeat. Ids of tracking messages are not in the tables, so that one that was
    acknowledged and comes again is kept again; so are refused records, tasks and clients.
    """

    def __init__(
        self,
        inbox: InboxQueries,
        staging: StagingQueries,
        seen: SightingQueries,
        lake: Lake,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._inbox = inbox
        self._inspection = LakeInspection(inbox, staging, lake)
        self._staging = staging
        self._seen = seen
        self._lake = lake

    def rebuild(self, app_id: str, *, known_from: datetime, spans_from: datetime) -> RebuiltApp:
        """Return only when all that the tables of an app tell is in the state database.

        Args:
            app_id: The app.
            known_from: Batches and opened sessions from this instant on are known again.
            spans_from: Sessions and jobs of which something was received since are known again.
        """
        tables: dict[Kind, list[DataFile]] = {}
        damaged: list[str] = []
        rows = 0
        unnamed: list[str] = []
        for kind in Kind:
            try:
                found = self._record(app_id, kind)
                unnamed += self._inspection.list_unnamed(app_id, kind)
            except LakeDamagedError as error:
                self._staging.mark_damaged(app_id, kind, str(error))
                damaged.append(str(error))
                continue
            if found is not None:
                tables[kind], counted = found
                rows += counted
        batches = sum(
            self._inbox.remember_batches(app_id, self._batches(app_id, kind, files, known_from))
            for kind, files in tables.items()
        )
        self._inbox.continue_after(self._newest_position(app_id, tables))
        sessions = self._keep_spans(app_id, tables, spans_from)
        self._keep_contents(app_id, tables)
        self._keep_open_sessions(app_id, tables, known_from)
        return RebuiltApp(
            app_id=app_id,
            tables=len(tables),
            rows=rows,
            batches=batches,
            sessions=sessions,
            damaged=tuple(damaged),
            unnamed=tuple(unnamed),
        )

    def _record(self, app_id: str, kind: Kind) -> tuple[list[DataFile], int] | None:
        """Take a table's newest version for the recorded one; its files, if all are sound."""
        newest = self._lake.find(app_id, kind)
        if newest is None:
            return None
        files = self._lake.files(app_id, kind, newest.version())
        rows = count_rows(newest)
        commit = self._lake.describe_commit(app_id, kind, newest.version(), rows_total=rows)
        found = ClosedCommit(commit_id=find_newest_number(newest), commit=commit)
        self._staging.record_found(app_id, found, committed_at=self._clock())
        self._lake.check_files(app_id, kind, files)
        self._lake.check_digests(app_id, kind, [file.path for file in files])
        return files, rows

    def _batches(
        self, app_id: str, kind: Kind, files: Sequence[DataFile], known_from: datetime
    ) -> Iterator[tuple[str, datetime]]:
        """The ids of batches, each with when it was received."""
        for file in files:
            if file.received_max is not None and file.received_max < known_from:
                continue
            rows = self._lake.scan(app_id, kind, [file.path])
            known = pl.col("batch_id").is_not_null()  # not of rows that a repair restored
            found = rows.filter(pl.col("received_at") >= known_from, known).group_by("batch_id")
            yield from found.agg(pl.col("received_at").max()).collect().iter_rows()

    def _newest_position(self, app_id: str, tables: dict[Kind, list[DataFile]]) -> int:
        newest = 0
        for kind, files in tables.items():
            if files:
                rows = self._lake.scan(app_id, kind, [file.path for file in files])
                found = rows.select(pl.col("sequence").max()).collect(engine="streaming").item()
                newest = max(newest, found or 0)
        return newest >> ROWS_PER_BATCH_BITS

    def _keep_spans(
        self, app_id: str, tables: dict[Kind, list[DataFile]], spans_from: datetime
    ) -> int:
        """Remember sessions and jobs, a day after another: what began anew lies in the later."""
        kept = 0
        for kind, id_column in SPAN_KINDS.items():
            for day, files in groupby(tables.get(kind, []), key=lambda file: file.day):
                if day is None:
                    continue
                rows = self._lake.scan(app_id, kind, [file.path for file in files])
                device_start = (
                    pl.col("device_timestamp").sort_by("start").first()
                    if kind is Kind.JOB
                    else pl.lit(None, pl.Datetime("us", "UTC"))
                )
                found = (
                    rows.group_by("device_id", id_column)
                    .agg(
                        pl.col("start").min(),
                        device_start.alias("device_start"),
                        pl.col("received_at").max(),
                    )
                    .filter(pl.col("received_at") >= spans_from)
                    .collect(engine="streaming")
                )
                keys = derive_sighting_keys(
                    app_id, kind, found.select("device_id", id_column).iter_rows()
                )
                moments = found.select("start", "device_start", "received_at").iter_rows()
                spans = [
                    Span(
                        key=key,
                        day=day,
                        start=start,
                        device_start=device_start,
                        received_on=received_at.date(),
                    )
                    for key, (start, device_start, received_at) in zip(keys, moments, strict=True)
                ]
                self._seen.keep(app_id, Sightings(spans=spans))
                kept += len(spans)
        return kept

    def _keep_contents(self, app_id: str, tables: dict[Kind, list[DataFile]]) -> None:
        """Remember information and locations, as used until the last day of a record with them."""
        for kind, id_column in CONTENT_KINDS.items():
            files = tables.get(kind, [])
            if not files:
                continue
            contents = self._lake.scan(app_id, kind, [file.path for file in files])
            days = [
                contents.select(
                    "device_id", id_column, pl.col("received_at").dt.date().alias("day")
                )
            ]
            for other, of_other in tables.items():
                if id_column in content_ids(other) and other.is_historical and of_other:
                    rows = self._lake.scan(app_id, other, [file.path for file in of_other])
                    days.append(
                        rows.filter(pl.col(id_column).is_not_null()).select(
                            "device_id", id_column, pl.col("received_at").dt.date().alias("day")
                        )
                    )
            used = pl.concat(days).group_by("device_id", id_column).agg(pl.col("day").max())
            distinct = contents.select("device_id", id_column).unique()
            found = distinct.join(used, on=["device_id", id_column]).collect(engine="streaming")
            keys = derive_sighting_keys(
                app_id, kind, found.select("device_id", id_column).iter_rows()
            )
            days_by_key = zip(keys, found["day"], strict=True)
            kept = [Content(key=key, last_day=day) for key, day in days_by_key]
            self._seen.keep(app_id, Sightings(contents=kept))

    def _keep_open_sessions(
        self, app_id: str, tables: dict[Kind, list[DataFile]], known_from: datetime
    ) -> None:
        """Remember the sessions that the service opened itself, known by how their ids are made."""
        files = tables.get(Kind.ACTIVITY, [])
        if not files:
            return
        end = pl.coalesce("end", "timestamp")
        rows = self._lake.scan(app_id, Kind.ACTIVITY, [file.path for file in files])
        found = (
            rows.group_by("device_id", "session_id")
            .agg(
                pl.col("timestamp").min().alias("start"),
                end.max().alias("end"),
                pl.col("timestamp").unique().alias("times"),
            )
            .filter(pl.col("end") >= known_from)
            .collect(engine="streaming")
        )
        sessions = [
            OpenSession(session_id=session_id, device_id=device_id, start=start, end=end)
            for device_id, session_id, start, end, times in found.iter_rows()
            if any(derive_session_id(device_id, at) == session_id for at in times)
        ]
        self._seen.keep(app_id, Sightings(sessions=sessions))
