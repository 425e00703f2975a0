"""Tests what the server counts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import engagement
from engagement import operations
from engagement.error_codes import ErrorCode
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportState, ExportType, Progress
from engagement.runtime.opening import Runtime, open_service
from engagement.server.metrics import Metrics, metrics_of
from engagement.settings import Settings
from engagement.testing import MemoryContainer
from support.whole_service import register_app


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_service(Settings(home=tmp_path), run_tasks=False, allow_memory=True) as runtime:
        yield runtime


@pytest.fixture
def metrics(runtime: Runtime) -> Metrics:
    return metrics_of(runtime)


def create_export(runtime: Runtime) -> ExportTask:
    """An export of a new app's devices, which waits."""
    request = ExportRequest(
        app_id=register_app(runtime).app_id,
        export_type=ExportType.DEVICE,
        export_format=ExportFormat.NDJSON,
        container_url=MemoryContainer().url,
    )
    return operations.create_export(runtime, request)


def lines(metrics: Metrics) -> list[str]:
    return metrics.page.read().decode().splitlines()


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
    metrics.count_logs("native", size=2_000, accepted=3, refused={"bad_name": 2})
    metrics.count_repairs("tracking", repaired=2, trailing=1)

    found = lines(metrics)
    assert 'engagement_logs_accepted_total{protocol="native"} 3.0' in found
    assert 'engagement_logs_refused_total{code="bad_name",protocol="native"} 2.0' in found
    assert 'engagement_body_bytes_bucket{le="8000.0",protocol="native"} 1.0' in found
    assert 'engagement_values_repaired_total{protocol="tracking"} 2.0' in found
    assert 'engagement_bodies_with_trailing_bytes_total{protocol="tracking"} 1.0' in found


def test_answers_are_counted_by_the_code_that_they_name(metrics: Metrics) -> None:
    metrics.count_error("UnknownApp")

    assert 'engagement_errors_total{code="UnknownApp"} 1.0' in lines(metrics)


def test_exports_that_ended_are_counted_once(runtime: Runtime, metrics: Metrics) -> None:
    operations.cancel_export(runtime, create_export(runtime).task_id)

    for _ in range(2):
        found = lines(metrics)
        named = 'code="Cancelled",state="Cancelled",type="Device"'
        assert f"engagement_exports_ended_total{{{named}}} 1.0" in found
        assert 'engagement_export_seconds_count{type="Device"} 1.0' in found


def test_what_exports_delivered_is_added_up(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_export(runtime)
    succeeded = replace(
        task, state=ExportState.SUCCEEDED, progress=Progress(rows_done=3, bytes_done=700)
    )
    failed = replace(
        task,
        state=ExportState.FAILED,
        error_code=ErrorCode.SAS_EXPIRED,
        progress=Progress(rows_done=1, bytes_done=90_000),
    )
    monkeypatch.setattr(operations.EndedExports, "take", lambda _: [succeeded, failed])

    found = lines(metrics_of(runtime))

    assert 'engagement_exports_ended_total{code="SasExpired",state="Failed",type="Device"} 1.0' in (
        found
    )
    assert 'engagement_export_rows_total{type="Device"} 4.0' in found
    assert 'engagement_export_bytes_bucket{le="1000.0",type="Device"} 1.0' in found
    assert 'engagement_export_bytes_sum{type="Device"} 90700.0' in found


def test_the_release_and_the_process_are_named(metrics: Metrics) -> None:
    found = lines(metrics)

    assert [
        line
        for line in found
        if line.startswith("engagement_build_info{")
        and f'version="{engagement.__version__}"' in line
    ]
    assert [line for line in found if line.startswith("process_resident_memory_bytes ")]
