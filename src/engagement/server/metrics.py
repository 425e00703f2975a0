"""Counts what the server does, for Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engagement import operations
from engagement.operations import InboxState
from engagement.runtime.home import RunnerHealth
from engagement.runtime.opening import Runtime

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def metrics_of(runtime: Runtime) -> "Metrics":
    """Return the metrics of an opened service."""
    return Metrics(
        lambda: {state.value: count for state, count in operations.count_exports(runtime).items()},
        lambda: operations.inbox_state(runtime),
        lambda: operations.read_unconfirmed_clock(runtime),
        lambda: None if runtime.runner is None else runtime.runner.health(),
        lambda: [(table.app_id, table.kind) for table in operations.list_damaged_tables(runtime)],
    )


class Metrics:
    """The server's counters, and what waits and runs when it is asked."""

    def __init__(
        self,
        count_tasks: Callable[[], Mapping[str, int]],
        look_at_inbox: Callable[[], InboxState],
        read_unconfirmed_clock: Callable[[], timedelta],
        worker_health: Callable[[], RunnerHealth | None],
        list_damaged: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_DamagedTables(list_damaged))
        self._registry.register(_Tasks(count_tasks))
        self._registry.register(_Inbox(look_at_inbox))
        self._registry.register(_Clock(read_unconfirmed_clock))
        self._registry.register(_Worker(worker_health))
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

    def count_logs(self, protocol: str, *, accepted: int, refused: Mapping[str, int]) -> None:
        """Count what became of the logs of a body; those refused by their codes."""
        self._accepted.labels(protocol).inc(accepted)
        for code, logs in refused.items():
            self._refused.labels(protocol, code).inc(logs)

    def count_repairs(self, protocol: str, *, repaired: int, trailing: int) -> None:
        """Count values that were repaired, and bodies of which the last bytes were left out."""
        if repaired:
            self._repaired.labels(protocol).inc(repaired)
        if trailing:
            self._trailing.labels(protocol).inc(trailing)

    def text(self) -> bytes:
        """Return everything, in the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _ReadOnScrape(Collector):
    """Asks for its values when they are read, and for nothing when it is registered."""

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when this is registered."""
        return iter(())


class _Tasks(_ReadOnScrape):
    def __init__(self, count_tasks: Callable[[], Mapping[str, int]]) -> None:
        self._count_tasks = count_tasks

    def collect(self) -> Iterator[Metric]:
        """The tasks that there are now."""
        family = GaugeMetricFamily(
            "engagement_export_tasks", "Export tasks by state.", labels=["state"]
        )
        for state, count in self._count_tasks().items():
            family.add_metric([state], count)
        yield family


class _Inbox(_ReadOnScrape):
    def __init__(self, look: Callable[[], InboxState]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """What waits to go to the lake."""
        state = self._look()
        yield GaugeMetricFamily(
            "engagement_inbox_logs", "Logs that wait to go to the lake.", value=state.logs
        )
        yield GaugeMetricFamily(
            "engagement_inbox_lag_seconds",
            "Seconds that the oldest of them has waited.",
            value=state.lag.total_seconds(),
        )
        yield CounterMetricFamily(
            "engagement_inbox_transactions",
            "Transactions in which requests were accepted.",
            value=state.transactions,
        )
        yield GaugeMetricFamily(
            "engagement_refused_records", "Refused records kept aside.", value=state.refused
        )
        yield CounterMetricFamily(
            "engagement_refused_records_crowded_out",
            "Refused records that made room for later ones.",
            value=state.refused_crowded_out,
        )


class _Clock(_ReadOnScrape):
    def __init__(self, read_unconfirmed: Callable[[], timedelta]) -> None:
        self._read_unconfirmed = read_unconfirmed

    def collect(self) -> Iterator[Metric]:
        """What the clock shows that running has not confirmed."""
        yield GaugeMetricFamily(
            "engagement_clock_unconfirmed_seconds",
            "Seconds that the clock moved on otherwise than by running, in the last days of it.",
            value=self._read_unconfirmed().total_seconds(),
        )


class _Worker(_ReadOnScrape):
    def __init__(self, look: Callable[[], RunnerHealth | None]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """How the process is that flushes and exports."""
        health = self._look()
        if health is None:
            return
        yield GaugeMetricFamily(
            "engagement_worker_up", "Whether there is a worker now.", value=health.is_alive
        )
        yield CounterMetricFamily(
            "engagement_worker_restarts",
            "How often the worker was started anew.",
            value=health.restarts,
        )
        yield GaugeMetricFamily(
            "engagement_worker_silent_seconds",
            "How long ago the worker was last heard of.",
            value=health.silent_seconds,
        )


class _DamagedTables(_ReadOnScrape):
    def __init__(self, list_damaged: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._list_damaged = list_damaged

    def collect(self) -> Iterator[Metric]:
        """The tables that are damaged now; there is no series where none is."""
        family = GaugeMetricFamily(
            "engagement_damaged_tables",
            "Tables of the lake that are damaged, which exports refuse until they are mended.",
            labels=["app", "kind"],
        )
        for names in self._list_damaged():
            family.add_metric(names, 1)
        yield family
