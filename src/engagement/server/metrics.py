"""Counts what the server does, for Prometheus."""

import platform
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from http import HTTPStatus

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric

from engagement import __version__, operations
from engagement.model.export_tasks import ExportTask
from engagement.runtime.opening import Runtime
from engagement.server.levels import LevelCollector, Levels
from engagement.server.recent_look import RecentLook
from engagement.telemetry import record_span

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EXPORT_BUCKETS_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
BUCKETS_BYTES = tuple(1_000 * 8**exponent for exponent in range(12))
"""From a kilobyte to 8.6 terabytes."""


def metrics_of(runtime: Runtime) -> "Metrics":
    """Return the metrics of an opened service."""
    ended = operations.EndedExports(runtime)
    return Metrics(
        Levels(
            count_tasks=lambda: {
                state.value: count for state, count in operations.count_exports(runtime).items()
            },
            look_at_inbox=lambda: operations.inbox_state(runtime),
            read_unconfirmed_clock=lambda: operations.read_unconfirmed_clock(runtime),
            worker_health=lambda: None if runtime.runner is None else runtime.runner.health(),
            list_damaged=lambda: [
                (table.app_id, table.kind) for table in operations.list_damaged_tables(runtime)
            ],
            measure_upkeep=lambda: operations.measure_upkeep(runtime),
            measure_disk=lambda: shutil.disk_usage(runtime.settings.home),
        ),
        take_ended=ended.take,
    )


class Metrics:
    """The server's counters, and what waits and runs when it is asked."""

    def __init__(self, levels: Levels, take_ended: Callable[[], Iterable[ExportTask]]) -> None:
        """Count from nothing.

        Args:
            levels: What is looked for when it is asked for.
            take_ended: Gives each export that has ended since, once.
        """
        self._take_ended = take_ended
        self.page = RecentLook(self._write)
        """What Prometheus reads, as of a moment ago."""
        self.families = RecentLook(self._collect)
        """The same for whoever sends it on."""
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        build = Info("engagement_build", "The release that runs.", registry=self._registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._registry.register(LevelCollector(levels))
        self._exports = _ExportCounters(self._registry)
        self._errors = Counter(
            "engagement_errors",
            "Requests that were refused or failed, by the code of the answer.",
            ("code",),
            registry=self._registry,
        )
        self._bodies = Histogram(
            "engagement_body_bytes",
            "Bytes of bodies that devices posted, when they are plain.",
            ("protocol",),
            buckets=BUCKETS_BYTES[:6],
            registry=self._registry,
        )
        names = ("route", "method", "status")
        self._requests = Counter("engagement_requests", "Requests.", names, registry=self._registry)
        self._seconds = Histogram(
            "engagement_request_seconds",
            "Seconds that requests took.",
            ("route", "method"),
            buckets=BUCKETS_SECONDS,
            registry=self._registry,
        )
        self._accepted = Counter(
            "engagement_logs_accepted",
            "Logs that devices posted and that are durable.",
            ("protocol",),
            registry=self._registry,
        )
        self._refused = Counter(
            "engagement_logs_refused",
            "Logs, and whole bodies, that devices posted and that were refused.",
            ("protocol", "code"),
            registry=self._registry,
        )
        self._repaired = Counter(
            "engagement_values_repaired",
            "Values that were altered or left out so that the rest could be kept.",
            ("protocol",),
            registry=self._registry,
        )
        self._trailing = Counter(
            "engagement_bodies_with_trailing_bytes",
            "Bodies with bytes behind the end of their compressed data, which were left out.",
            ("protocol",),
            registry=self._registry,
        )

    def count(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; routes are templates, so names and ids are in no label."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)
        record_span(
            f"{method} {route}",
            seconds=seconds,
            failed=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            http_method=method,
            http_route=route,
            http_status=status,
        )

    def count_error(self, code: str) -> None:
        """Count an answer that names a code; codes are words of ours."""
        self._errors.labels(code).inc()

    def count_logs(
        self, protocol: str, *, size: int, accepted: int, refused: Mapping[str, int]
    ) -> None:
        """Count a body of so many bytes and what became of its logs; those refused by codes."""
        self._bodies.labels(protocol).observe(size)
        self._accepted.labels(protocol).inc(accepted)
        for code, logs in refused.items():
            self._refused.labels(protocol, code).inc(logs)

    def count_repairs(self, protocol: str, *, repaired: int, trailing: int) -> None:
        """Count values that were repaired, and bodies of which the last bytes were left out."""
        if repaired:
            self._repaired.labels(protocol).inc(repaired)
        if trailing:
            self._trailing.labels(protocol).inc(trailing)

    def _write(self) -> bytes:
        """Return everything, in the text format that Prometheus reads."""
        self._count_ended()
        return generate_latest(self._registry)

    def _collect(self) -> list[Metric]:
        self._count_ended()
        return list(self._registry.collect())

    def _count_ended(self) -> None:
        for task in self._take_ended():
            self._exports.count(task)


class _ExportCounters:
    """What became of exports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "engagement_exports_ended",
            "Exports that ended, by how: their state, and why they failed.",
            ("type", "state", "code"),
            registry=registry,
        )
        self._rows = Counter(
            "engagement_export_rows", "Rows that were delivered.", ("type",), registry=registry
        )
        self._bytes = Histogram(
            "engagement_export_bytes",
            "Bytes that an export delivered.",
            ("type",),
            buckets=BUCKETS_BYTES,
            registry=registry,
        )
        self._seconds = Histogram(
            "engagement_export_seconds",
            "Seconds from when an export was asked for to its end.",
            ("type",),
            buckets=EXPORT_BUCKETS_SECONDS,
            registry=registry,
        )

    def count(self, task: ExportTask) -> None:
        kind = task.export_type.value
        code = "" if task.error_code is None else task.error_code.value
        self._ended.labels(kind, task.state.value, code).inc()
        self._rows.labels(kind).inc(task.progress.rows_done)
        self._bytes.labels(kind).observe(task.progress.bytes_done)
        if task.completed_at is not None:
            lasted: timedelta = task.completed_at - task.created_at
            self._seconds.labels(kind).observe(lasted.total_seconds())
