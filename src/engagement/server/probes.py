"""Answers those who watch over a worker of a cluster: three paths, and nothing else."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from engagement.exceptions import BadInputError
from engagement.runtime.opening import Runtime
from engagement.server.metrics import Metrics, metrics_of
from engagement.server.recent_look import RecentLook
from engagement.server.state_look import StateLook, look_at_state

TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROBES_MAX = 32
"""Connections at a time; those who watch over a worker need a few."""
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
    state_look = RecentLook(partial(look_at_state, runtime))
    handler = partial(_Probe, state_look, metrics_of(runtime))
    try:
        server = _ProbeServer(("", port), handler)
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


class _ProbeServer(ThreadingHTTPServer):
    """Answers so many at a time, each in a thread; who comes beyond them is let go."""

    def __init__(
        self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]
    ) -> None:
        self._places = threading.BoundedSemaphore(PROBES_MAX)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to answer, if there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Probe(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 10.0

    def __init__(
        self, state_look: RecentLook[StateLook], metrics: Metrics, *request: object
    ) -> None:
        self._state_look = state_look
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
                self._answer(200, self._metrics.page.read().decode(), TEXT)
            case _:
                self._answer(404, json.dumps({"error": {"code": "NotFound"}}))

    def log_message(self, *_: object) -> None:
        """Say nothing: they ask every few seconds."""

    def _answer_ready(self) -> None:
        try:
            self._state_look.read()
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
