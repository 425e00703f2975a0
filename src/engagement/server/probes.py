"""Answers those who watch over a worker of a cluster: three paths, and nothing else."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog

from engagement import operations
from engagement.exceptions import BadInputError
from engagement.runtime.opening import Runtime
from engagement.server.metrics import Metrics, metrics_of

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_log = structlog.get_logger()


@contextmanager
def running_probes(runtime: Runtime, port: int | None) -> Iterator[int | None]:
    """Answer /healthz, /readyz and /metrics in a thread; nothing if there is no port.

    Args:
        runtime: The service.
        port: On which port of all addresses; 0 takes a free one, which is given.

    Raises:
        BadInputError: The port is taken.
    """
    if port is None:
        yield None
        return
    handler = partial(_Probe, runtime, metrics_of(runtime))
    try:
        server = ThreadingHTTPServer(("", port), handler)
    except OSError as error:
        raise BadInputError(
            f"ENGAGEMENT_PROBE_PORT must be free, but {port} gave: {error.strerror}."
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Probe(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 10.0

    def __init__(self, runtime: Runtime, metrics: Metrics, *request: object) -> None:
        self._runtime = runtime
        self._metrics = metrics
        super().__init__(*request)  # type: ignore[arg-type] # what the server hands on

    def do_GET(self) -> None:
        """Answer, as the server's own paths of these names do."""
        match self.path.partition("?")[0]:
            case "/healthz":
                self._answer(200, json.dumps({"status": "ok"}))
            case "/readyz":
                self._answer_ready()
            case "/metrics":
                self._answer(200, self._metrics.text().decode(), TEXT)
            case _:
                self._answer(404, json.dumps({"error": {"code": "NotFound"}}))

    def log_message(self, *_: object) -> None:
        """Say nothing: they ask every few seconds."""

    def _answer_ready(self) -> None:
        try:
            operations.read_unconfirmed_clock(self._runtime)
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            _log.warning("not_ready", exc_info=True)
            self._answer(503, json.dumps({"error": {"code": "NotReady"}}))
        else:
            self._answer(200, json.dumps({"status": "ready"}))

    def _answer(self, status: int, text: str, media_type: str = "application/json") -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
