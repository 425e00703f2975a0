"""This module counts what the server does, for Prometheus."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The server's counters, and the export tasks by state when it is asked."""

    def __init__(self, count_tasks: Callable[[], Mapping[str, int]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Tasks(count_tasks))
        names = ("route", "method", "status")
        self._requests = Counter(
            "engagement_requests", "API requests.", names, registry=self._registry
        )
        self._seconds = Histogram(
            "engagement_request_seconds",
            "Seconds that API requests took.",
            ("route", "method"),
            buckets=BUCKETS_SECONDS,
            registry=self._registry,
        )

    def count(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; routes are templates, so names and ids are in no label."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """Everything, in the text format that Prometheus reads."""
        return generate_latest(self._registry)


class _Tasks(Collector):
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

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when this is registered."""
        return iter(())
