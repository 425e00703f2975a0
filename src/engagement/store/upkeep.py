"""Keeps the lake in shape: compact, fold, vacuum, retain, erase a device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import groupby, islice, pairwise

import polars as pl

from engagement.exceptions import LakeDamagedError
from engagement.failpoints import FailpointHook, no_failpoint
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, Kind
from engagement.store.committing import Committer
from engagement.store.data_files import DataFile
from engagement.store.files import row_group_rows
from engagement.store.folds import FOLD_KEYS, fold
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.sightings import SightingQueries, derive_sighting_keys
from engagement.store.queries.staging import StagingQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.ranges import in_devices
from engagement.store.recovery import LakeRecovery
from engagement.store.row_order import in_order
from engagement.store.upkeep_report import UpkeepReport, add_counts, add_reports

RANGES_PER_FILE = 8
"""Ranges of device ids that a file aims at. One is in memory at a time, and becomes a row group."""
SMALL_SHARE = 8
"""A file is small with less than this share of a row group. Larger ones cost little more to read,
and come from flushes that need the processors and the memory themselves."""
FILES_PER_COMMIT = 1_000
"""Files that wait for a commit at most. A commit reads what the table's log says of all files, so
that one for each day would cost the square of their number."""
SAMPLED_EVERY = 100
"""Rows of which one is looked at to find out how device ids are spread."""


class Upkeep:
    """Operations on an app's tables; exports that run meanwhile read the versions they pinned."""

    def __init__(  # noqa: PLR0913 - what it works with, which tests exchange
        self,
        inbox: InboxQueries,
        staging: StagingQueries,
        seen: SightingQueries,
        tasks: TaskQueries,
        lake: Lake,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_failpoint: FailpointHook = no_failpoint,
    ) -> None:
        self._inbox = inbox
        self._staging = staging
        self._committer = Committer(inbox, staging, lake, clock=clock, on_failpoint=on_failpoint)
        self._recovery = LakeRecovery(inbox, staging, lake)
        self._seen = seen
        self._tasks = tasks
        self._lake = lake

    def compact(self, app_id: str, *, small_count: int | None = None) -> UpkeepReport:
        """Gather the files of each day, and those of information, into few sorted ones.

        What flushes said of one session or one job becomes one row; else no row changes.

        Args:
            app_id: The app.
            small_count: Gather small files only, so many of a day at a time, and leave what is
                fewer. To gather all of a day again and again would cost ever more.
        """
        return self._rewrite(
            app_id,
            [kind for kind in Kind if kind.is_historical or kind in CONTENT_KINDS],
            wanted=_scattered if small_count is None else partial(_small, count=small_count),
            change=lambda _, rows: rows.collect(),
        )

    def fold_snapshots(self, app_id: str, *, before: datetime) -> UpkeepReport:
        """Fold the changes of snapshot kinds that were received before an instant.

        A snapshot as of an instant since then stays exact.
        """

        def fold_old(kind: Kind, rows: pl.LazyFrame) -> pl.DataFrame:
            old = fold(kind, rows.filter(pl.col("received_at") < before))
            new = rows.filter(pl.col("received_at") >= before)
            return pl.concat([old, new]).collect()

        return self._rewrite(
            app_id,
            [kind for kind in FOLD_KEYS if not kind.is_historical],
            wanted=lambda _, files: [files],
            change=fold_old,
        )

    def erase(self, app_id: str, *device_ids: str) -> UpkeepReport:
        """Take every row of devices out of every table.

        Older versions of the tables hold the rows until they are vacuumed.
        """
        for device_id in device_ids:
            self._seen.forget_device(app_id, device_id)

        def may_hold(file: DataFile) -> bool:
            return any(file.device_min <= each <= file.device_max for each in device_ids)

        return self._rewrite(
            app_id,
            # Last of all what tells that there is the device, so that a repeat finds it.
            sorted(Kind, key=lambda kind: kind is Kind.DEVICE),
            wanted=lambda _, files: [[file for file in files if may_hold(file)]],
            change=lambda _, rows: rows.filter(~pl.col("device_id").is_in(device_ids)).collect(),
        )

    def retain(self, app_id: str, *, first_kept: date) -> UpkeepReport:
        """Take the days of history out that are before a day.

        Sessions and jobs go with the day that they were first reported on. Information and
        locations that no record names any more go too.

        Older versions of the tables hold the rows until they are vacuumed.
        """
        self._committer.commit(app_id)
        report = UpkeepReport()
        failures: list[LakeDamagedError] = []
        for kind in self._inbox.last_commits(app_id):
            if not kind.is_historical:
                continue
            with self._apart(app_id, kind, failures), self._lake.flush_lock(app_id):
                files = self._newest(app_id, kind)
                old = [file for file in files if file.day is not None and file.day < first_kept]
                if old:
                    self._forget_spans(app_id, kind, old)
                    group = self._committer.stage_rewrite(app_id, kind, old=old, new=())
                    self._committer.commit_rewrites(app_id, kind, {group})
                    report = add_counts(report, tables=1, before=old, after=[])
        for kind in CONTENT_KINDS:
            with self._apart(app_id, kind, failures):
                report = add_reports(report, self._retain_contents(app_id, kind, first_kept))
        _raise_first(failures)
        return report

    def _forget_spans(self, app_id: str, kind: Kind, files: list[DataFile]) -> None:
        """Let what is told of sessions and jobs that go start anew, on a day that is kept."""
        if kind in SPAN_KINDS:
            rows = self._lake.scan(app_id, kind, [file.path for file in files])
            ids = rows.select("device_id", SPAN_KINDS[kind]).collect(engine="streaming").iter_rows()
            self._seen.drop_spans(derive_sighting_keys(app_id, kind, ids))

    def _retain_contents(self, app_id: str, kind: Kind, first_kept: date) -> UpkeepReport:
        """Take out what came with no record since a day.

        Flushes wait meanwhile: one that found something known must not lose it before its own
        commit. What was received since is kept, since an interrupted flush has not said so yet.
        """
        received_from = datetime.combine(first_kept, time(0), UTC)

        def is_old(rows: pl.DataFrame) -> pl.Series:
            ids = rows.select("device_id", CONTENT_KINDS[kind]).iter_rows()
            keys = derive_sighting_keys(app_id, kind, ids)
            self._seen.forget_contents(keys, first_kept)
            known = self._seen.contents(keys)
            is_unknown = pl.Series([key not in known for key in keys], dtype=pl.Boolean())
            return is_unknown & (rows["received_at"] < received_from)

        def with_old(_: Kind, files: list[DataFile]) -> list[list[DataFile]]:
            scans = [(file, self._lake.scan(app_id, kind, [file.path])) for file in files]
            return [[file for file, rows in scans if is_old(rows.collect()).any()]]

        def without_old(_: Kind, rows: pl.LazyFrame) -> pl.DataFrame:
            contents = rows.collect()
            return contents.filter(~is_old(contents))

        with self._lake.rewrite_lock(app_id, kind), self._lake.flush_lock(app_id):
            return self._rewrite(app_id, [kind], wanted=with_old, change=without_old)

    def vacuum(
        self,
        app_id: str,
        *,
        before: datetime,
        shorten_log: bool = False,
        drop_versions: bool = False,
    ) -> UpkeepReport:
        """Delete files that no table has referred to since an instant, whoever left them there.

        Those that a running export may read, and those that are staged, are kept.

        Args:
            app_id: The app.
            before: The instant.
            shorten_log: Whether old commits go from the tables' logs as well.
            drop_versions: Whether every commit before the instant goes from them, since a device
                was erased, and a commit tells device ids.
        """
        oldest = self._tasks.oldest_unfinished_at()
        if oldest is not None:
            before = min(before, oldest - timedelta(days=1))
        deleted = 0
        failures: list[LakeDamagedError] = []
        for kind in self._inbox.last_commits(app_id):
            with self._apart(app_id, kind, failures):  # a rewrite's new files are of no table yet
                self._staging.require_sound(app_id, {kind})
                staged = {file.path for file in self._staging.list_staged(app_id, kind)}
                version = self._inbox.find_version(app_id, kind, at=before)
                deleted += self._lake.vacuum(
                    app_id,
                    kind,
                    before=before,
                    version_then=version,
                    keep=staged,
                    shorten_log=shorten_log,
                )
                if drop_versions and version is not None:
                    self._lake.drop_versions(app_id, kind, first_kept=version)
        _raise_first(failures)
        return UpkeepReport(files_deleted=deleted)

    def _rewrite(
        self,
        app_id: str,
        kinds: Sequence[Kind],
        *,
        wanted: Callable[[Kind, list[DataFile]], Sequence[list[DataFile]]],
        change: Callable[[Kind, pl.LazyFrame], pl.DataFrame],
    ) -> UpkeepReport:
        """Replace the wanted groups of each table's files, each of one day where it has days.

        Sessions and jobs are folded, since the rows of several files may come into one.
        Flushes go on meanwhile; what they append stays as it is.
        """
        self._committer.commit(app_id)  # a table that is staged alone has no commit yet
        report = UpkeepReport()
        failures: list[LakeDamagedError] = []
        for kind in kinds:
            if kind not in self._inbox.last_commits(app_id):
                continue
            changed = False
            with self._apart(app_id, kind, failures):
                waiting = 0
                groups: set[str] = set()
                for day, some in groupby(self._newest(app_id, kind), key=lambda file: file.day):
                    for before in filter(None, wanted(kind, list(some))):
                        rewritten = self._changed(app_id, kind, before, change)
                        after = self._lake.write(
                            app_id, kind, ((day, frames) for frames in rewritten)
                        )
                        groups.add(
                            self._committer.stage_rewrite(app_id, kind, old=before, new=after)
                        )
                        waiting += len(before) + len(after)
                        if waiting >= FILES_PER_COMMIT:
                            self._committer.commit_rewrites(app_id, kind, groups)
                            waiting = 0
                            groups.clear()
                        report = add_counts(report, tables=0, before=before, after=after)
                        changed = True
                self._committer.commit_rewrites(app_id, kind, groups)
            report = add_counts(report, tables=int(changed), before=[], after=[])
        _raise_first(failures)
        return report

    @contextmanager
    def _apart(self, app_id: str, kind: Kind, failures: list[LakeDamagedError]) -> Iterator[None]:
        """One table under its lock of rewrites; what is damaged there does not keep the others."""
        try:
            with self._lake.rewrite_lock(app_id, kind):
                yield
        except LakeDamagedError as error:
            self._recovery.mark(app_id, [kind], digests=True)
            failures.append(error)

    def _newest(self, app_id: str, kind: Kind) -> list[DataFile]:
        """The table's files at its newest recorded version."""
        self._staging.require_sound(app_id, {kind})
        return self._lake.files(app_id, kind, self._inbox.last_commits(app_id)[kind].version)

    def _changed(
        self,
        app_id: str,
        kind: Kind,
        files: list[DataFile],
        change: Callable[[Kind, pl.LazyFrame], pl.DataFrame],
    ) -> Iterator[Iterator[pl.DataFrame]]:
        """The rows, changed and sorted, a file and in it a range of device ids at a time.

        Exports rely on it that no file holds two rows of one session or job.
        """
        rows = self._lake.scan(app_id, kind, [file.path for file in files])
        edges = [None, *self._boundaries(app_id, kind, files), None]
        ranges = pairwise(edges)
        for _ in range(0, len(edges) - 1, RANGES_PER_FILE):
            yield (
                in_order(change(kind, _folded(kind, in_devices(rows, low, high))), kind)
                for low, high in islice(ranges, RANGES_PER_FILE)
            )

    def _boundaries(self, app_id: str, kind: Kind, files: list[DataFile]) -> list[str]:
        """Device ids that cut the rows into ranges of about equal size, found from a sample.

        Statistics would do for random ids only, and a range is held in memory.
        """
        wanted = _ranges_wanted(kind, files)
        if wanted <= 1:
            return []
        sample: list[str] = []
        seen = 0
        for file in files:
            ids = self._lake.scan(app_id, kind, [file.path]).select("device_id").collect()
            sample.extend(ids["device_id"].gather_every(SAMPLED_EVERY, -seen % SAMPLED_EVERY))
            seen += file.rows
        sample.sort()
        return sorted({sample[len(sample) * step // wanted] for step in range(1, wanted)})


def _raise_first(failures: Sequence[LakeDamagedError]) -> None:
    if failures:
        raise failures[0]


def _folded(kind: Kind, rows: pl.LazyFrame) -> pl.LazyFrame:
    return fold(kind, rows) if kind in SPAN_KINDS else rows


def _scattered(kind: Kind, files: list[DataFile]) -> list[list[DataFile]]:
    """All files of a day if fewer would do, or device ids have to be looked for in several."""
    overlap = any(file.device_max >= other.device_min for file, other in pairwise(files))
    fewest = -(-_ranges_wanted(kind, files) // RANGES_PER_FILE)
    return [files] if overlap or len(files) > fewest else []


def _small(kind: Kind, files: list[DataFile], *, count: int) -> list[list[DataFile]]:
    """The small files of a day, so many at a time; fewer are left alone."""
    small = [file for file in files if file.rows * SMALL_SHARE < row_group_rows(kind)]
    return [small[first : first + count] for first in range(0, len(small) + 1 - count, count)]


def _ranges_wanted(kind: Kind, files: list[DataFile]) -> int:
    return -(-sum(file.rows for file in files) // row_group_rows(kind))
