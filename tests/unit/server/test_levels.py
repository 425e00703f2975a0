"""Tests that what waits is looked at when Prometheus asks, and not before."""

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from engagement.operations import InboxState
from engagement.runtime.home import RunnerHealth
from engagement.server.levels import APPS_MAX, LevelCollector, Levels

APP = "a" * 32


class Looks:
    """Counts how often it was looked at what waits."""

    def __init__(self) -> None:
        self.looks = 0
        self.waiting: Mapping[str, int] = {APP: 7}
        self.upkeep_age: timedelta | None = timedelta(hours=2)

    def count_tasks(self) -> dict[str, int]:
        self.looks += 1
        return {"Queued": 2, "Failed": 0}

    @property
    def levels(self) -> Levels:
        return Levels(
            count_tasks=self.count_tasks,
            look_at_inbox=lambda: InboxState(
                logs_by_app=self.waiting,
                lag=timedelta(seconds=1.5),
                refused=1,
                refused_crowded_out=4,
                transactions=3,
            ),
            read_unconfirmed_clock=lambda: timedelta(days=9),
            worker_health=lambda: RunnerHealth(is_alive=True, restarts=2, silent_seconds=0.5),
            list_damaged=lambda: [(APP, "event")],
            measure_upkeep=lambda: self.upkeep_age,
            measure_disk=lambda: SimpleNamespace(total=100, free=40),
        )


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def registry(looks: Looks) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(LevelCollector(looks.levels))
    return registry


def lines(registry: CollectorRegistry) -> list[str]:
    return generate_latest(registry).decode().splitlines()


def test_what_waits_is_looked_at_when_it_is_read_and_not_before(
    registry: CollectorRegistry, looks: Looks
) -> None:
    assert looks.looks == 0

    found = lines(registry)

    assert looks.looks == 1
    assert 'engagement_export_tasks{state="Queued"} 2.0' in found
    assert "engagement_inbox_logs 7.0" in found
    assert "engagement_inbox_lag_seconds 1.5" in found
    assert "engagement_inbox_transactions_total 3.0" in found


def test_each_app_has_a_series_and_there_is_an_end_of_them(
    registry: CollectorRegistry, looks: Looks
) -> None:
    assert f'engagement_inbox_app_logs{{app="{APP}"}} 7.0' in lines(registry)

    looks.waiting = {f"{number:032x}": number for number in range(1, APPS_MAX + 4)}
    series = [line for line in lines(registry) if line.startswith("engagement_inbox_app_logs{")]

    assert len(series) == APPS_MAX + 1
    assert 'engagement_inbox_app_logs{app="other"} 6.0' in series


def test_damaged_tables_are_named(registry: CollectorRegistry) -> None:
    assert f'engagement_damaged_tables{{app="{APP}",kind="event"}} 1.0' in lines(registry)


def test_a_clock_that_jumped_is_shown(registry: CollectorRegistry) -> None:
    assert "engagement_clock_unconfirmed_seconds 777600.0" in lines(registry)


def test_the_worker_the_upkeep_and_the_disk_are_looked_at_too(
    registry: CollectorRegistry, looks: Looks
) -> None:
    found = lines(registry)

    assert "engagement_worker_up 1.0" in found
    assert "engagement_worker_restarts_total 2.0" in found
    assert "engagement_worker_silent_seconds 0.5" in found
    assert "engagement_upkeep_age_seconds 7200.0" in found
    assert "engagement_disk_bytes 100.0" in found
    assert "engagement_disk_free_bytes 40.0" in found
    looks.upkeep_age = None
    assert not [line for line in lines(registry) if "upkeep" in line]
