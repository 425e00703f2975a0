"""The operations on what charts are drawn from: counting it, and reading it."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from pathlib import Path

from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.model.points import (
    ALIVE,
    DELIVERED_BYTES,
    DELIVERED_ROWS,
    DISK,
    EVERYWHERE,
    EXPORTS,
    INBOX,
    LAG,
    LAKE,
    LEVELS,
    Chart,
    ChartPoint,
    ChartRange,
)
from engagement.operations.collecting import inbox_state
from engagement.runtime.opening import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageState:
    """How full the disk is, and how large the lake."""

    disk_bytes: int
    """Size of the disk of the home folder."""
    disk_used_bytes: int
    """What of it is used."""
    lake_bytes: int | None
    """Size of the lake's files; None if it lies elsewhere."""

    @property
    def disk_percent(self) -> int:
        """Whole percent of the disk that are used."""
        return 100 * self.disk_used_bytes // max(1, self.disk_bytes)


def storage_state(runtime: Runtime) -> StorageState:
    """How full the disk of the home folder is, and how large the lake."""
    usage = shutil.disk_usage(runtime.settings.home)
    local = runtime.lake.local
    return StorageState(
        disk_bytes=usage.total,
        disk_used_bytes=usage.used,
        lake_bytes=None if local is None else _folder_bytes(local),
    )


def record_points(
    runtime: Runtime,
    counts: Mapping[tuple[str, str], int],
    *,
    ended: Iterable[ExportTask],
    storage: StorageState,
) -> None:
    """Add what was counted, the exports that ended, and the levels of now.

    Args:
        runtime: The service.
        counts: What was counted, by app and series; it is added to all apps together too.
        ended: Exports that ended and were not counted before.
        storage: How full the disk is.
    """
    now = runtime.clock()
    found = Counter(counts)
    for task in ended:
        found[task.app_id, f"{EXPORTS}{task.state.value.lower()}"] += 1
        found[task.app_id, DELIVERED_ROWS] += task.progress.rows_done
        found[task.app_id, DELIVERED_BYTES] += task.progress.bytes_done
    for (_, series), value in list(found.items()):
        found[EVERYWHERE, series] += value
    inbox = inbox_state(runtime)
    running = runtime.tasks.counts()[ExportState.STARTED]
    levels = {
        LAG: round(inbox.lag.total_seconds()),
        INBOX: inbox.logs,
        DISK: storage.disk_percent,
        LAKE: storage.lake_bytes or 0,
        f"{EXPORTS}running": running,
        ALIVE: 1,
    }
    found.update({(EVERYWHERE, series): value for series, value in levels.items()})
    runtime.points.forget(now=int(now.timestamp()))  # first: what fails later is counted again
    runtime.points.add(found, at=int(now.timestamp()))


def read_chart(
    runtime: Runtime,
    scopes: Sequence[str],
    prefix: str,
    chosen: ChartRange,
    *,
    pending: Mapping[tuple[str, str], int] | None = None,
) -> Chart:
    """The series that begin so, over a range up to now; the app's counts are added up.

    Args:
        runtime: The service.
        scopes: Ids of apps, or `EVERYWHERE` alone.
        prefix: How the series begin.
        chosen: How far back.
        pending: What was counted since the last minute and is not kept yet, by app and series.
    """
    now = int(runtime.clock().timestamp())
    step, end = chosen.step, now + 1
    first = now - int(chosen.span.total_seconds())
    start = first - first % step + step
    found = runtime.points.read(scopes, prefix, step=chosen.kept_step, start=start, end=end)
    alive = runtime.points.read([EVERYWHERE], ALIVE, step=chosen.kept_step, start=start, end=end)
    moments = list(range(start, end, step))
    lived = {point.at - point.at % step for point in alive} | {moments[-1]}
    sums: dict[str, dict[int, int]] = defaultdict(dict)
    for point in [*found, *_pending(scopes, prefix, pending or {}, now)]:
        series, at = sums[point.series], point.at - point.at % step
        if point.series in LEVELS:
            series[at] = max(series.get(at, 0), point.high)
        else:
            series[at] = series.get(at, 0) + point.sum
    return Chart(
        step=step,
        at=moments,
        series={
            name: [
                values.get(at, None if name in LEVELS else 0) if at in lived else None
                for at in moments
            ]
            for name, values in sorted(sums.items())
        },
    )


def keep_series(chart: Chart, names: Collection[str]) -> Chart:
    """Return a chart with the named ones of its series."""
    kept = {name: values for name, values in chart.series.items() if name in names}
    return replace(chart, series=kept)


def _pending(
    scopes: Sequence[str], prefix: str, counts: Mapping[tuple[str, str], int], now: int
) -> list[ChartPoint]:
    return [
        ChartPoint(scope=scope, series=series, at=now, sum=value, high=value)
        for (scope, series), value in counts.items()
        if series.startswith(prefix) and (scope in scopes or list(scopes) == [EVERYWHERE])
    ]


def recent_sum(runtime: Runtime, scopes: Sequence[str], prefix: str, span: timedelta) -> int:
    """What the series that begin so add up to, in the last whole minutes of a span."""
    now = runtime.clock().astimezone(UTC)
    start, end = int((now - span).timestamp()), int(now.timestamp()) + 1
    found = runtime.points.read(scopes, prefix, step=60, start=start, end=end)
    return sum(point.sum for point in found)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_size
            except FileNotFoundError:  # upkeep has just deleted it
                continue
    return total
