"""Tests what a collector of OpenTelemetry is sent by a real server, over OTLP."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from engagement.exceptions import BadInputError
from engagement.runtime.open_telemetry import running_telemetry
from support.batches import batch, log
from support.server_process import RunningServer, running_server
from support.waiting import wait_for

PERSON = "ada-canary@example.org"
SECRETS = ("sig=canary", "canary-secret")


@dataclass
class Collector:
    """What was received."""

    address: str = ""
    spans: dict[str, list[Span]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    bodies: list[bytes] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        """Read one message as the protocol has it."""
        self.bodies.append(body)
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                self.services.add(f"{names['service.name']} {names['engagement.part']}")
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans.setdefault(span.name, []).append(span)
        if path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        points = [*metric.sum.data_points, *metric.gauge.data_points]
                        self.metrics[metric.name] = sum(
                            point.as_double or point.as_int for point in points
                        )


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A receiver of OTLP over HTTP on a free loopback port."""
    found, lock = Collector(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                found.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        found.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()


def _use(server: RunningServer, out: Path) -> None:
    app = server.app()
    with server.http() as http:
        body = batch(log("event", 1, name="opened"), userId=PERSON)
        http.post("/v1/batches", content=body, headers={"Authorization": app["appKey"]})
        http.get("/nowhere", params={"sig": "canary"})
    where = ("--app", app["appId"], "--container", str(out))
    server.command("export", "create", "Tag", *where)
    server.command(
        "export", "create", "Event", *where, "--from", "2026-01-01", "--to", "2026-01-02"
    )


def test_a_collector_is_told_what_was_done_and_of_whom_nothing(
    collector: Collector, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()

    with running_server(
        tmp_path / "home",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=canary-secret",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_METRIC_EXPORT_INTERVAL="300",
        ENGAGEMENT_LOCAL_ROOTS=str(out),
    ) as server:
        _use(server, out)
        wait_for(
            lambda: (
                {"export", "export write part", "export freeze", "export finish"}
                <= collector.spans.keys()
            ),
            "spans of an export",
        )
        wait_for(
            lambda: collector.metrics.get("engagement_exports_ended_total", 0) >= 2,
            "the metrics of two exports",
        )

    assert collector.services == {"engagement-export server", "engagement-export worker"}
    (first, *_) = collector.spans["export"]
    attributes = {each.key: each.value for each in first.attributes}
    assert attributes["engagement.state"].string_value == "Succeeded"
    assert first.status.code == Status.STATUS_CODE_UNSET
    assert first.end_time_unix_nano >= first.start_time_unix_nano
    routes = {
        each.value.string_value
        for spans in collector.spans.values()
        for span in spans
        for each in span.attributes
        if each.key == "http.route"
    }
    assert "none" in routes
    assert collector.metrics["engagement_build_info"] == 1
    everything = b"".join(collector.bodies)
    for secret in (PERSON, *SECRETS, str(out)):
        assert secret.encode() not in everything


def test_a_collector_that_is_away_stops_nothing(tmp_path: Path) -> None:
    with running_server(
        tmp_path / "home",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as server:
        assert server.command("apps", "list")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        },
    ],
)
def test_nothing_is_sent_where_nobody_asks_for_it(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with running_telemetry("server") as is_sent:
        assert not is_sent


def test_another_protocol_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with (
        pytest.raises(BadInputError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        running_telemetry("server"),
    ):
        pass
