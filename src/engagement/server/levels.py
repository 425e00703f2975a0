"""Looks for what waits and how the service is, when Prometheus asks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engagement.operations import InboxState
from engagement.runtime.home import RunnerHealth

APPS_MAX = 100
"""Apps that have a series of their own: those with most that waits. The others share one."""
OTHER_APPS = "other"


class DiskUsage(Protocol):
    """How full a disk is, in bytes."""

    @property
    def total(self) -> int:
        """Its size."""

    @property
    def free(self) -> int:
        """What of it is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What gives each level."""

    count_tasks: Callable[[], Mapping[str, int]]
    """Export tasks by their states."""
    look_at_inbox: Callable[[], InboxState]
    """What waits to go to the lake."""
    read_unconfirmed_clock: Callable[[], timedelta]
    """By how much the clock moved on otherwise than by running."""
    worker_health: Callable[[], RunnerHealth | None]
    """How the process is that flushes and exports; None if it is this one or another machine's."""
    list_damaged: Callable[[], Iterable[tuple[str, str]]]
    """Damaged tables, each by its app's id and its kind."""
    measure_upkeep: Callable[[], timedelta | None]
    """How long ago the app was tidied up that was so longest ago; None if none ever was."""
    measure_disk: Callable[[], DiskUsage]
    """How full the disk of the home folder is."""


class Level(NamedTuple):
    """A value with its name and what it is."""

    name: str
    words: str
    value: float
    is_counter: bool = False


class LevelCollector(Collector):
    """Asks for levels when they are read, and for nothing when it is registered."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when this is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every level as it is now."""
        inbox = self._levels.look_at_inbox()
        for level in (*_list_inbox(inbox), *self._list_worker(), *self._list_rest()):
            family = CounterMetricFamily if level.is_counter else GaugeMetricFamily
            yield family(level.name, level.words, value=level.value)
        yield self._count_tasks()
        yield self._list_damaged()
        yield _measure_apps(inbox)

    def _list_worker(self) -> Iterator[Level]:
        health = self._levels.worker_health()
        if health is None:
            return
        yield Level("engagement_worker_up", "Whether there is a worker now.", health.is_alive)
        yield Level(
            "engagement_worker_restarts",
            "How often the worker was started anew.",
            health.restarts,
            is_counter=True,
        )
        yield Level(
            "engagement_worker_silent_seconds",
            "How long ago the worker was last heard of.",
            health.silent_seconds,
        )

    def _list_rest(self) -> Iterator[Level]:
        yield Level(
            "engagement_clock_unconfirmed_seconds",
            "Seconds that the clock moved on otherwise than by running, in the last days of it.",
            self._levels.read_unconfirmed_clock().total_seconds(),
        )
        age = self._levels.measure_upkeep()
        if age is not None:
            yield Level(
                "engagement_upkeep_age_seconds",
                "Seconds since the app was tidied up that was so longest ago.",
                age.total_seconds(),
            )
        disk = self._levels.measure_disk()
        yield Level("engagement_disk_bytes", "Size of the disk of the home folder.", disk.total)
        yield Level("engagement_disk_free_bytes", "What of it is free.", disk.free)

    def _count_tasks(self) -> Metric:
        family = GaugeMetricFamily(
            "engagement_export_tasks", "Export tasks by state.", labels=["state"]
        )
        for state, count in self._levels.count_tasks().items():
            family.add_metric([state], count)
        return family

    def _list_damaged(self) -> Metric:
        """Give a series to each table that is damaged now, and none where none is."""
        family = GaugeMetricFamily(
            "engagement_damaged_tables",
            "Tables of the lake that are damaged, which exports refuse until they are mended.",
            labels=["app", "kind"],
        )
        for names in self._levels.list_damaged():
            family.add_metric(names, 1)
        return family


def _list_inbox(state: InboxState) -> Iterator[Level]:
    yield Level("engagement_inbox_logs", "Logs that wait to go to the lake.", state.logs)
    yield Level(
        "engagement_inbox_lag_seconds",
        "Seconds that the oldest of them has waited.",
        state.lag.total_seconds(),
    )
    yield Level(
        "engagement_inbox_transactions",
        "Transactions in which requests were accepted.",
        state.transactions,
        is_counter=True,
    )
    yield Level("engagement_refused_records", "Refused records kept aside.", state.refused)
    yield Level(
        "engagement_refused_records_crowded_out",
        "Refused records that made room for later ones.",
        state.refused_crowded_out,
        is_counter=True,
    )


def _measure_apps(state: InboxState) -> Metric:
    family = GaugeMetricFamily(
        "engagement_inbox_app_logs", "Logs of an app that wait to go to the lake.", labels=["app"]
    )
    waiting = sorted(state.logs_by_app.items(), key=lambda item: -item[1])
    for app_id, logs in waiting[:APPS_MAX]:
        family.add_metric([app_id], logs)
    if others := sum(logs for _, logs in waiting[APPS_MAX:]):
        family.add_metric([OTHER_APPS], others)
    return family
