"""This module keeps the lake in shape: compact, fold, vacuum, retain, erase a device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise

import polars as pl

from engagement.model.records import Kind
from engagement.store.data_files import DataFile
from engagement.store.folds import FOLD_KEYS, fold
from engagement.store.lake import Lake, in_devices, in_order
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.ranges import device_boundaries

REWRITE_ROWS = 500_000
"""Rows that a rewrite holds in memory at a time, and that a file aims at."""
FILES_BEARABLE = 10
"""Files in the place of one that a growing day may have. Full rounds of a flush are about as large
as that, so where they come fast a day is not rewritten over and over while flushes wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepReport:
    """What an operation of upkeep did."""

    tables: int = 0
    """Tables that changed."""
    rows_before: int = 0
    """Rows in what was rewritten."""
    rows_after: int = 0
    """Rows that it has now."""
    files_before: int = 0
    """Files of what was rewritten."""
    files_after: int = 0
    """Files that it has now."""
    files_deleted: int = 0
    """Files that were deleted from storage."""


class Upkeep:
    """Operations on an app's tables; exports that run meanwhile read the versions they pinned."""

    def __init__(
        self,
        inbox: InboxQueries,
        tasks: TaskQueries,
        lake: Lake,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inbox = inbox
        self._tasks = tasks
        self._lake = lake
        self._clock = clock

    def compact(self, app_id: str, *, files_spare: int = 0) -> UpkeepReport:
        """Gather the small files of each day into sorted ones; no row changes.

        What flushes said of one session on one day is folded into one row.

        Args:
            app_id: The app.
            files_spare: Days that have no more files than so many above ten times what they need
                are left alone. A day is rewritten whole, so while rows still come for it, gathering
                them each time would cost more than it saves.
        """
        return self._rewrite(
            app_id,
            [kind for kind in Kind if kind.is_historical],
            wanted=lambda files: _is_scattered(files, files_spare),
            change=lambda kind, rows: fold(kind, rows).collect(),
        )

    def fold_snapshots(self, app_id: str, *, keep_days: int) -> UpkeepReport:
        """Fold the changes of snapshot kinds that were received more than some days ago.

        A snapshot as of an instant inside these days stays exact.
        """
        horizon = self._clock() - timedelta(days=keep_days)

        def folded(kind: Kind, rows: pl.LazyFrame) -> pl.DataFrame:
            old = fold(kind, rows.filter(pl.col("received_at") < horizon))
            new = rows.filter(pl.col("received_at") >= horizon)
            return pl.concat([old, new]).collect()

        return self._rewrite(
            app_id,
            [kind for kind in FOLD_KEYS if not kind.is_historical],
            wanted=bool,
            change=folded,
        )

    def erase(self, app_id: str, device_id: str) -> UpkeepReport:
        """Take every row of a device out of every table.

        Older versions of the tables hold the rows until they are vacuumed.
        """
        self._inbox.forget_device(app_id, device_id)
        return self._rewrite(
            app_id,
            list(Kind),
            wanted=lambda files: any(
                file.device_min <= device_id <= file.device_max for file in files
            ),
            change=lambda _, rows: rows.filter(pl.col("device_id") != device_id).collect(),
        )

    def retain(self, app_id: str, *, days: int) -> UpkeepReport:
        """Take the days of history out that are older than some days.

        Older versions of the tables hold the rows until they are vacuumed.
        """
        first_kept = (self._clock() - timedelta(days=days)).date()
        report = UpkeepReport()
        for kind in self._inbox.last_commits(app_id):
            if not kind.is_historical:
                continue
            with self._alone(app_id, kind):
                files = self._newest(app_id, kind)
                old = [file for file in files if file.day is not None and file.day < first_kept]
                if old:
                    made = self._lake.delete_days(app_id, kind, before=first_kept)
                    self._inbox.record_commits(app_id, [made], committed_at=self._clock())
                    report = _sum(report, tables=1, before=old, after=[])
        return report

    def vacuum(self, app_id: str, *, days_min: int) -> UpkeepReport:
        """Delete files that no table refers to, keeping those that a running export may read."""
        keep = timedelta(days=days_min)
        oldest = self._tasks.oldest_unfinished_at()
        if oldest is not None:
            keep = max(keep, self._clock() - oldest + timedelta(days=1))
        hours = int(keep / timedelta(hours=1))
        deleted = sum(
            self._lake.vacuum(app_id, kind, retention_hours=hours)
            for kind in self._inbox.last_commits(app_id)
        )
        return UpkeepReport(files_deleted=deleted)

    def _rewrite(
        self,
        app_id: str,
        kinds: Sequence[Kind],
        *,
        wanted: Callable[[list[DataFile]], bool],
        change: Callable[[Kind, pl.LazyFrame], pl.DataFrame],
    ) -> UpkeepReport:
        """Replace what is wanted of each table, a day at a time where it has days."""
        report = UpkeepReport()
        for kind in kinds:
            if kind not in self._inbox.last_commits(app_id):
                continue
            changed = False
            with self._alone(app_id, kind):
                days = groupby(self._newest(app_id, kind), key=lambda file: file.day)
                chosen = [day for day, some in days if wanted(list(some))]
            for day in chosen:
                with self._alone(app_id, kind):  # a day at a time, so that flushes come between
                    before = [one for one in self._newest(app_id, kind) if one.day == day]
                    after = self._replace(app_id, kind, day, before, change)
                report = _sum(report, tables=0, before=before, after=after)
                changed = True
            report = _sum(report, tables=int(changed), before=[], after=[])
        return report

    @contextmanager
    def _alone(self, app_id: str, kind: Kind) -> Iterator[None]:
        """Keep flushes of the app and other commits to the table away."""
        with self._lake.lock(app_id, Kind.DEVICE), self._lake.lock(app_id, kind):
            yield

    def _newest(self, app_id: str, kind: Kind) -> list[DataFile]:
        """The table's files, those of a flush included that was interrupted before its record.

        Such a flush is repeated but does not append again, so a rewrite must keep its rows.
        """
        return self._lake.files(app_id, kind, self._lake.seal(app_id, kind).version)

    def _replace(
        self,
        app_id: str,
        kind: Kind,
        day: date | None,
        files: list[DataFile],
        change: Callable[[Kind, pl.LazyFrame], pl.DataFrame],
    ) -> list[DataFile]:
        made = self._lake.replace(app_id, kind, self._changed(app_id, kind, files, change), day=day)
        self._inbox.record_commits(app_id, [made], committed_at=self._clock())
        return [one for one in self._lake.files(app_id, kind, made.version) if one.day == day]

    def _changed(
        self,
        app_id: str,
        kind: Kind,
        files: list[DataFile],
        change: Callable[[Kind, pl.LazyFrame], pl.DataFrame],
    ) -> Iterator[pl.DataFrame]:
        """The rows, changed and sorted, a range of device ids at a time."""
        rows = self._lake.scan(app_id, kind, [file.path for file in files])
        boundaries = device_boundaries(files, _files_wanted(files))
        for low, high in zip([None, *boundaries], [*boundaries, None], strict=True):
            yield in_order(change(kind, in_devices(rows, low, high)), kind)


def _is_scattered(files: list[DataFile], files_spare: int) -> bool:
    """Whether fewer files would do, or device ids have to be looked for in several."""
    if files_spare:
        return len(files) > FILES_BEARABLE * _files_wanted(files) + files_spare
    overlap = any(one.device_max >= other.device_min for one, other in pairwise(files))
    return overlap or len(files) > _files_wanted(files)


def _files_wanted(files: list[DataFile]) -> int:
    return -(-sum(file.rows for file in files) // REWRITE_ROWS)


def _sum(
    report: UpkeepReport, *, tables: int, before: list[DataFile], after: list[DataFile]
) -> UpkeepReport:
    return UpkeepReport(
        tables=report.tables + tables,
        rows_before=report.rows_before + sum(file.rows for file in before),
        rows_after=report.rows_after + sum(file.rows for file in after),
        files_before=report.files_before + len(before),
        files_after=report.files_after + len(after),
        files_deleted=report.files_deleted,
    )
