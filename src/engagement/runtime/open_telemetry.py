"""Sends traces and metrics to a collector of OpenTelemetry, where its SDK's variables name one.

The SDK reads its own variables (`OTEL_…`), so whatever it knows can be set; here it is only
decided whether it is loaded at all.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from engagement import __version__
from engagement.exceptions import BadInputError
from engagement.settings import read_telemetry_variables
from engagement.telemetry import Attribute, running_recorder

if TYPE_CHECKING:
    from opentelemetry.metrics import Observation
    from prometheus_client.metrics_core import Metric

SERVICE = "engagement-export"
PROTOCOL = "http/protobuf"
STOP_MILLISECONDS_MAX = 2_000
"""How long the end of a process waits for a collector that does not answer."""
_EXTRA = "pip install 'engagement-export[server,otel]'"


@contextmanager
def running_telemetry(
    part: str, collect_metrics: Callable[[], Iterable["Metric"]] | None = None
) -> Iterator[bool]:
    """Send this process's spans, and its metrics if it has any; give whether anything is sent.

    Args:
        part: What the process is: server or worker.
        collect_metrics: Gives all metrics as of a moment ago; called for each of them as often as
            the SDK exports.

    Raises:
        BadInputError: A collector is named, and the SDK is not installed or would have to speak
            another protocol than HTTP.
    """
    variables = read_telemetry_variables()
    signals = [signal for signal in ("TRACES", "METRICS") if _is_sent(signal, variables)]
    if not signals:
        yield False
        return
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    except ImportError:
        raise BadInputError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, which needs the extra otel: {_EXTRA}."
        ) from None
    # The SDK's own variables go before these.
    own = {"service.version": __version__, "engagement.part": part}
    resource = Resource.create(own)
    # The SDK's word where none is given.
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": SERVICE}))
    with ExitStack() as closing:
        if "TRACES" in signals:
            closing.enter_context(_sending_spans(resource))
        if "METRICS" in signals and collect_metrics is not None:
            closing.enter_context(_sending_metrics(resource, collect_metrics))
        yield True


def _is_sent(signal: str, variables: Mapping[str, str]) -> bool:
    """Whether the SDK's variables name a collector for traces or metrics.

    Raises:
        BadInputError: It would have to speak another protocol than HTTP.
    """
    is_named = any(
        name in variables
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    )
    is_off = variables.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not is_named or is_off or variables.get(f"OTEL_{signal}_EXPORTER", "otlp") == "none":
        return False
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if variables.get(name, PROTOCOL) != PROTOCOL:
            raise BadInputError(f"{name} must be {PROTOCOL}, got {variables[name]!r:.50}.")
    return True


@contextmanager
def _sending_spans(resource: Any) -> Iterator[None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        with running_recorder(_Recorder(provider.get_tracer("engagement", __version__))):
            yield
    finally:
        provider.force_flush(STOP_MILLISECONDS_MAX)
        provider.shutdown()


class _Recorder:
    """Makes spans of the SDK of what has ended."""

    def __init__(self, tracer: Any) -> None:
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415

        self._tracer = tracer
        self._kinds, self._failed = SpanKind, StatusCode.ERROR

    def record(
        self, name: str, *, seconds: float, attributes: Mapping[str, Attribute], failed: bool
    ) -> None:
        """Record what ended now; keys are `http.…` as the conventions have them, or our own."""
        end = time.time_ns()
        is_request = "http_route" in attributes
        made = self._tracer.start_span(
            name,
            start_time=end - round(seconds * 1e9),
            kind=self._kinds.SERVER if is_request else self._kinds.INTERNAL,
            attributes={_key(key): value for key, value in attributes.items()},
        )
        if failed:
            made.set_status(self._failed)
        made.end(end_time=end)


_CONVENTIONS = {
    "http_route": "http.route",
    "http_method": "http.request.method",
    "http_status": "http.response.status_code",
    "error_type": "error.type",
}


def _key(name: str) -> str:
    return _CONVENTIONS.get(name) or f"engagement.{name}"


@contextmanager
def _sending_metrics(
    resource: Any, collect_metrics: Callable[[], Iterable["Metric"]]
) -> Iterator[None]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    _mirror(provider.get_meter("engagement", __version__), collect_metrics)
    try:
        yield
    finally:
        provider.shutdown(STOP_MILLISECONDS_MAX)


def _mirror(meter: Any, collect_metrics: Callable[[], Iterable["Metric"]]) -> None:
    """Observe each metric that there is now under the name that Prometheus has for it.

    A histogram is observed as its count and its sum, of which a mean can be drawn; its buckets
    are at `/metrics`, since the SDK takes no buckets that somebody else has counted.
    """
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    def observe(name: str) -> Callable[[object], Iterator["Observation"]]:
        def give(_: object) -> Iterator["Observation"]:
            for family in collect_metrics():
                for sample in family.samples:
                    if sample.name == name:
                        yield Observation(float(sample.value), dict(sample.labels))

        return give

    for family in collect_metrics():
        for suffix in _SUFFIXES.get(family.type, ()):
            name = family.name + suffix
            is_level = family.type in {"gauge", "info"}
            make = meter.create_observable_gauge if is_level else meter.create_observable_counter
            make(name, [observe(name)], description=family.documentation)


_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "info": ("_info",),
    "histogram": ("_count", "_sum"),
}
