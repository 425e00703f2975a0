"""Limits what connections may hold: the time and bytes of a head, and requests at once.

Bodies are limited behind it, where a route is known; without this, whoever opens connections and
says little, or never ends a header, would hold them and their memory for ever. Requests that are
too many are refused here, since a refusal that took as long as an answer would help nobody.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from engagement.exceptions import ErrorCode
from engagement.server.client_addresses import Sender, TrustedProxies, sender_at
from engagement.server.shares import HEALTH_CONNECTIONS, ConnectionShares, Shares
from engagement.settings import Settings

HEAD_SECONDS_MAX = 10.0
HEAD_BYTES_MAX = 65_536
URL_BYTES_MAX = 8_192
"""To take a query apart costs most of what is sent without a key: so much of it under 5 ms."""
FRAMING_BYTES_MAX = 4_194_304
"""Of a body that comes in chunks, what is not the body itself: lengths of chunks, trailers."""
MESSAGE_SECONDS_MAX = 45.0
"""For a whole request; its body is given less, and then there is an answer that says so."""
WRITE_SECONDS_MAX = 60.0
"""For so long who asked may take nothing of an answer that waits to be sent."""
OTHER_REQUESTS_MAX = 256
"""Requests under way at a time that are not devices'."""
DESCRIPTORS_RESERVED = 256
"""Files that the rest of the process may have open: databases, logs, the worker."""
PAUSE_SECONDS = 0.5
"""How long a connection is not read after a refusal; less than its sender was told to wait."""
_DEVICES = (b"/collect/", b"/v1/")
_HEALTH = frozenset({b"/healthz", b"/readyz"})
_STREAM = b"/console/events"
STREAMS_MAX = 500
"""Pages that listen for what changes; they hold a connection for minutes and ask for little."""
_BODY = json.dumps(
    {"error": {"code": ErrorCode.OVERLOADED, "message": "Too many requests are under way."}}
).encode()
_HEADERS = (
    (b"Retry-After", b"1"),
    (b"Content-Type", b"application/json"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"Content-Length", b"%d" % len(_BODY)),
)
_COME_AGAIN = b"HTTP/1.1 503 Service Unavailable\r\n%s\r\n%s" % (
    b"".join(b"%s: %s\r\n" % header for header in _HEADERS),
    _BODY,
)
_TOO_LONG = b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def _is_of_devices(url: bytes) -> bool:
    """Whether an endpoint of devices answers there, however many slashes its sender wrote."""
    return (b"/" + url.lstrip(b"/")).startswith(_DEVICES)


async def _answer_come_again(
    scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer a request that cannot be admitted in its turn."""
    del scope, receive
    await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY, "more_body": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What all connections of a server share."""

    connections: ConnectionShares
    """Connections; those of trusted proxies are counted by none."""
    device_requests: Shares
    """Devices' requests under way."""
    other_requests: Shares
    """All other requests under way, but for those about health."""
    streams: Shares
    """Streams of events, to pages that show what moves."""
    proxies: TrustedProxies
    """Whose word is taken for the address of whoever sent a request."""
    sockets_max: int
    """All connections, whoever's; more are closed as they come, or no file could be opened."""

    @classmethod
    def of(
        cls, settings: Settings, proxies: Sequence[str], *, descriptors_max: int
    ) -> "ConnectionLimits":
        """Return the limits that settings give, and the files that the process may have open."""
        sockets_max = max(1, descriptors_max - DESCRIPTORS_RESERVED)
        connections_max = max(1, min(settings.connections_max, sockets_max - HEALTH_CONNECTIONS))
        percents = {
            "address_percent": settings.address_share_percent,
            "network_percent": settings.network_share_percent,
        }
        return cls(
            connections=ConnectionShares(Shares(connections_max, **percents)),
            device_requests=Shares(settings.collect_concurrent_max, **percents),
            other_requests=Shares(OTHER_REQUESTS_MAX, **percents),
            streams=Shares(STREAMS_MAX, **percents),
            proxies=TrustedProxies(proxies),
            sockets_max=sockets_max,
        )


class LimitedHttpProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, on a connection that is closed if a head does not come."""

    _timer: asyncio.TimerHandle | None = None
    _pause: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_refused = False
    _is_for_health = False
    _is_in_message = False
    _message_timer: asyncio.TimerHandle | None = None
    _message_bytes = 0
    _body_bytes = 0
    _write_timer: asyncio.TimerHandle | None = None

    limits: ConnectionLimits
    """What this connection shares with others."""
    count_refused: Callable[[], None]
    """Told of each request that is refused here."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.sockets_max:
            transport.abort()
            return
        peer = self.client[0] if self.client else ""
        self._is_for_health = peer not in self.limits.proxies and not self.limits.connections.admit(
            self, sender_at(peer), self._close_if_idle
        )
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse on, unless a head, or what is around a body, is longer than any may be."""
        if self._is_in_message:
            self._message_bytes += len(data)
        else:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._timer is not None:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse_long_head()
        elif self._is_in_message:
            if self._message_timer is None:
                self._message_timer = self.loop.call_later(MESSAGE_SECONDS_MAX, self._give_up)
            framing_max = HEAD_BYTES_MAX + min(self._body_bytes, FRAMING_BYTES_MAX)
            if self._message_bytes - self._body_bytes > framing_max:
                self._close()

    def on_message_begin(self) -> None:
        """Wait for a further head on a connection that was kept."""
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """A head is whole: answer it, unless there is too much to do already."""
        self._stop_waiting()
        self._is_in_message = True
        self._message_bytes = self._body_bytes = 0
        if self._is_too_long():
            self._is_refused = True
            return
        peer = self.client[0] if self.client else ""
        sender = self.limits.proxies.sender_of(peer, self.headers)
        if sender.address != peer:
            self.scope["client"] = (sender.address, 0)
        self._is_refused = self._is_too_much(sender)
        if not self._is_refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take the body in, or pass it by."""
        self._body_bytes += len(body)
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole; what was refused is told so now, so that the connection goes on.

        Whoever comes again at once, as he was told not to, waits: to read and refuse him over and
        over would take the time of those who were admitted.
        """
        self._is_in_message = False
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None
        if not self._is_refused:
            super().on_message_complete()
            return
        self._is_refused = False
        if self.transport.is_closing():
            return
        self.count_refused()
        if self._is_for_health:
            self._refuse_for_good()
            return
        self.transport.write(_COME_AGAIN)
        self._await_head()
        if self._pause is None:
            self.flow.pause_reading()
            self._pause = self.loop.call_later(PAUSE_SECONDS, self._read_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self._stop_waiting()
        self.limits.connections.leave(self)
        for timer in (self._pause, self._message_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for who asked to take what was answered, for a while."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Go on: it was taken."""
        if self._write_timer is not None and not self.transport.is_closing():
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """End the connection with a reason, which its reader has a while for."""
        super().send_400_response(msg)
        self._await_reader()

    def on_response_complete(self) -> None:
        """Go on with the next request; a connection that ends waits for its reader for a while."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reader()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection on which nothing more was said."""
        self._close()

    @classmethod
    def with_limits(
        cls, limits: ConnectionLimits, *, count_refused: Callable[[], None]
    ) -> type["LimitedHttpProtocol"]:
        """Return the protocol with its limits, since uvicorn takes a class."""
        given = {"limits": limits, "count_refused": staticmethod(count_refused)}
        return type("LimitedHttpProtocol", (cls,), given)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Let a request take its share until all that it does has ended.

        One that came before the answer to the last one was not judged yet.
        """
        scope = cycle.scope
        shares = self._shares_of(scope["raw_path"])
        if shares is None or scope["client"] is None:
            super()._start_asgi_task(cycle, app)
            return
        sender = sender_at(scope["client"][0])
        if not shares.has_room(sender):
            self.count_refused()
            super()._start_asgi_task(cycle, _answer_come_again)
            return
        shares.take(sender)

        async def run(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send)
            finally:
                shares.give_back(sender)

        super()._start_asgi_task(cycle, run)

    def _shares_of(self, path: bytes) -> Shares | None:
        if path in _HEALTH:
            return None
        limits = self.limits
        if path == _STREAM:
            return limits.streams
        return limits.device_requests if _is_of_devices(path) else limits.other_requests

    def _is_too_much(self, sender: Sender) -> bool:
        # As it will be taken: a request may name the whole address, and not its path alone.
        shares = self._shares_of(httptools.parse_url(self.url).path or b"")
        if self._is_for_health:  # for one request, whatever is sent before its answer
            return shares is not None or self.cycle is not None
        if shares is None:
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False  # it came before the answer to the last one, and must wait for it
        return not shares.has_room(sender)

    def _refuse_for_good(self) -> None:
        """End a connection that is not within its sender's share."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_COME_AGAIN)
        self.transport.close()
        self._await_reader()

    def _close_if_idle(self) -> bool:
        """Close the connection if no request is under way on it; whether it was closed."""
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        self._close()
        return True

    def _read_on(self) -> None:
        self._pause = None
        self.flow.resume_reading()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _is_too_long(self) -> bool:
        """Whether an address or a head is too long, which is told and ends the connection."""
        is_head_long = (
            self._head_bytes > HEAD_BYTES_MAX
            and sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX
        )
        if is_head_long:
            self._refuse_long_head()
        elif len(self.url) > URL_BYTES_MAX:
            self.transport.write(_TOO_LONG)
            self.transport.close()
            self._await_reader()
        return self.transport.is_closing()

    def _refuse_long_head(self) -> None:
        self._stop_waiting()
        self.send_400_response(f"A request's head may have {HEAD_BYTES_MAX} bytes.")

    def _await_reader(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_SECONDS_MAX, self.transport.abort)

    def _close(self) -> None:
        """End the connection now, also if who asked does not take what was answered."""
        transport: Any = self.transport
        if transport.get_write_buffer_size() > 0:
            transport.abort()
        elif not transport.is_closing():
            transport.close()

    def _give_up(self) -> None:
        self._timer = None
        self._close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
