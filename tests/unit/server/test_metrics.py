"""Tests what the server counts, and that it looks at what waits only when it is asked."""

from datetime import timedelta

import pytest

from engagement.operations import InboxState
from engagement.runtime.home import RunnerHealth
from engagement.server.metrics import Metrics


class Looks:
    """Counts how often it was looked at what waits."""

    def __init__(self) -> None:
        self.looks = 0

    def tasks(self) -> dict[str, int]:
        self.looks += 1
        return {"Queued": 2, "Failed": 0}

    def inbox(self) -> InboxState:
        return InboxState(
            logs=7, lag=timedelta(seconds=1.5), refused=1, refused_crowded_out=4, transactions=3
        )

    def worker(self) -> RunnerHealth:
        return RunnerHealth(is_alive=True, restarts=2, silent_seconds=0.5)

    def damaged(self) -> list[tuple[str, str]]:
        return [("a" * 32, "event")]


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def metrics(looks: Looks) -> Metrics:
    return Metrics(looks.tasks, looks.inbox, lambda: timedelta(days=9), looks.worker, looks.damaged)


def lines(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def test_damaged_tables_are_named(metrics: Metrics) -> None:
    named = f'{{app="{"a" * 32}",kind="event"}}'
    assert f"engagement_damaged_tables{named} 1.0" in lines(metrics)


def test_requests_are_counted_by_route_method_and_status(metrics: Metrics) -> None:
    for status in (200, 200, 404):
        metrics.count(route="/apps/{id}", method="GET", status=status, seconds=0.02)

    found = lines(metrics)
    named = 'engagement_requests_total{method="GET",route="/apps/{id}",status='
    assert f'{named}"200"}} 2.0' in found
    assert f'{named}"404"}} 1.0' in found
    name = 'engagement_request_seconds_bucket{le="0.025",method="GET",route="/apps/{id}"}'
    assert f"{name} 3.0" in found


def test_what_devices_post_is_counted_by_protocol(metrics: Metrics) -> None:
    metrics.count_logs("native", accepted=3, refused={"bad_name": 2})
    metrics.count_repairs("tracking", repaired=2, trailing=1)

    found = lines(metrics)
    assert 'engagement_logs_accepted_total{protocol="native"} 3.0' in found
    assert 'engagement_logs_refused_total{code="bad_name",protocol="native"} 2.0' in found
    assert 'engagement_values_repaired_total{protocol="tracking"} 2.0' in found
    assert 'engagement_bodies_with_trailing_bytes_total{protocol="tracking"} 1.0' in found


def test_what_waits_is_looked_at_when_it_is_read_and_not_before(
    metrics: Metrics, looks: Looks
) -> None:
    assert looks.looks == 0

    found = lines(metrics)

    assert looks.looks == 1
    assert 'engagement_export_tasks{state="Queued"} 2.0' in found
    assert "engagement_inbox_logs 7.0" in found


def test_a_clock_that_jumped_is_shown(metrics: Metrics) -> None:
    assert "engagement_clock_unconfirmed_seconds 777600.0" in lines(metrics)


def test_the_worker_is_looked_at_too(metrics: Metrics) -> None:
    found = lines(metrics)

    assert "engagement_worker_up 1.0" in found
    assert "engagement_worker_restarts_total 2.0" in found
    assert "engagement_worker_silent_seconds 0.5" in found
