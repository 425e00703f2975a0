"""Limits what connections may hold: the time and bytes of a head, and requests at once.

Bodies are limited behind it, where a route is known; without this, whoever opens connections and
says little, or never ends a header, would hold them and their memory for ever. Requests that are
too many are refused here, since a refusal that took as long as an answer would help nobody.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engagement.exceptions import ErrorCode

HEAD_SECONDS_MAX = 10.0
HEAD_BYTES_MAX = 65_536
CONNECTIONS_MAX = 1_000
PAUSE_SECONDS = 0.5
"""How long a connection is not read after a refusal; less than its sender was told to wait."""
_DEVICES = (b"/collect/", b"/v1/")
_BODY = json.dumps(
    {"error": {"code": ErrorCode.OVERLOADED, "message": "Too many requests are under way."}}
).encode()
_COME_AGAIN = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
    b"Access-Control-Allow-Origin: *\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


def _is_of_devices(url: bytes) -> bool:
    """Whether an endpoint of devices answers there, however many slashes its sender wrote."""
    return (b"/" + url.lstrip(b"/")).startswith(_DEVICES)


class LimitedHttpProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, on a connection that is closed if a head does not come."""

    _timer: asyncio.TimerHandle | None = None
    _pause: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_refused = False

    requests_max = 0
    """Devices' requests under way at a time."""
    count_refused: Callable[[], None]
    """Told of each request that is refused here."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse on, unless a head is already longer than any may be."""
        super().data_received(data)
        if self._timer is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._stop_waiting()
            self.send_400_response(f"A request's head may have {HEAD_BYTES_MAX} bytes.")

    def on_message_begin(self) -> None:
        """Wait for a further head on a connection that was kept."""
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """A head is whole: answer it, unless there is too much to do already."""
        self._stop_waiting()
        self._is_refused = self._is_too_much()
        if not self._is_refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take the body in, or pass it by."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole; what was refused is told so now, so that the connection goes on.

        Whoever comes again at once, as he was told not to, waits: to read and refuse him over and
        over would take the time of those who were admitted.
        """
        if not self._is_refused:
            super().on_message_complete()
            return
        self._is_refused = False
        self.count_refused()
        self.transport.write(_COME_AGAIN)
        self._await_head()
        if self._pause is None:
            self.flow.pause_reading()
            self._pause = self.loop.call_later(PAUSE_SECONDS, self._read_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self._stop_waiting()
        if self._pause is not None:
            self._pause.cancel()
        super().connection_lost(exc)

    @classmethod
    def with_limits(
        cls, requests_max: int, *, count_refused: Callable[[], None]
    ) -> type["LimitedHttpProtocol"]:
        """Return the protocol with its limit of devices' requests, since uvicorn takes a class."""
        limits = {"requests_max": requests_max, "count_refused": staticmethod(count_refused)}
        return type("LimitedHttpProtocol", (cls,), limits)

    def _is_too_much(self) -> bool:
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # it came before the answer to the last one, and must wait for it
        if len(self.connections) > CONNECTIONS_MAX:
            return True
        return len(self.tasks) >= self.requests_max and _is_of_devices(self.url)

    def _read_on(self) -> None:
        self._pause = None
        self.flow.resume_reading()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        transport: Any = self.transport
        if not transport.is_closing():
            transport.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
