"""The middleware of the API: ids, limits, caller, headers, log and metrics."""

import re
import time
import uuid
from asyncio import CancelledError
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engagement.exceptions import WANTED_ENDS, NotAuthenticatedError
from engagement.server.auth.authentication import Authentication, challenge
from engagement.server.body_limits import LimitedBody
from engagement.server.cookies import keep_cookies
from engagement.server.errors import Problem, answer_to, problem_of
from engagement.server.metrics import Metrics
from engagement.server.paths import canonical_path

CLIENT_REQUEST_ID_CHARACTERS_MAX = 128
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)
"""The browsable documentation brings a script and a style sheet, all from this server."""
PERSONAL_PARAMETERS = frozenset({"deviceId", "userId"})
"""Parameters of paths that are never logged."""
WATCHED_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})
"""What others look at all the time; it is in the log only where all is not well."""
_PARAMETER = re.compile(r"\{([^{}:]+)(?::[a-z]+)?\}")
PAGES = ("/docs", "/static-offline-docs")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one caller may ask of the server."""

    request_bytes_max: int
    """Bytes of a request's body."""
    requests_per_minute: int
    """Requests of one client."""
    cookies: Collection[str] = ()
    """Those that are read; of others nothing is passed on."""


class EdgeMiddleware:
    """Admits requests, and gives every answer the headers that all answers have."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        metrics: Metrics,
        limits: RequestLimits,
        public_url: str,
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._metrics = metrics
        self._limits = limits
        self._cookies = frozenset(name.encode() for name in limits.cookies)
        self._challenge = challenge(public_url, authentication.tenant_id)
        self._headers = dict(SECURITY_HEADERS)
        if public_url.startswith("https://"):
            self._headers["strict-transport-security"] = "max-age=31536000"
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(limits.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        exchange = _Exchange(scope, send, self._common_headers(scope["path"], headers))
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy, since the server looks at its own
        scope["headers"] = keep_cookies(scope["headers"], self._cookies)
        scope["path"] = canonical_path(scope["path"], scope["method"])
        state = scope.setdefault("state", {})
        state["request_id"] = exchange.headers["x-ms-request-id"]
        try:
            _check_characters(scope)
            await self._admit(scope, headers)
            body = LimitedBody(receive, headers, bytes_max=self._limits.request_bytes_max)
            await self._app(scope, body.receive, exchange.send)
        except (CancelledError, *WANTED_ENDS):
            raise
        except BaseException as error:  # noqa: BLE001 - the edge: panics too get an answer
            if exchange.status is None:
                await self._refuse(error, scope, receive, exchange)
            if not isinstance(error, (Problem, NotAuthenticatedError)):
                _log.error("request_failed", error=type(error).__name__, exc_info=True)
        finally:
            self._record(scope, exchange)

    def _common_headers(self, path: str, headers: Headers) -> dict[str, str]:
        common = {**self._headers, "x-ms-request-id": str(uuid.uuid4())}
        if path.startswith(PAGES):
            common["content-security-policy"] = PAGE_POLICY
        given = headers.get("x-ms-client-request-id", "")
        if 0 < len(given) <= CLIENT_REQUEST_ID_CHARACTERS_MAX and given.isascii():
            common["x-ms-client-request-id"] = given
        return common

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Resources are for callers we know, as often as they may ask."""
        if not scope["path"].startswith("/subscriptions"):
            return
        given = headers.getlist("authorization")
        authorization = given[0] if len(given) == 1 else None
        caller = self._authentication.get_cached(authorization)
        if caller is None:
            caller = await self._authentication.caller(authorization)
        scope["state"]["caller"] = caller
        if not self._limiter.hit(self._rate, caller.client_id):
            window = self._limiter.get_window_stats(self._rate, caller.client_id)
            seconds = max(1, round(window.reset_time - time.time()))
            raise Problem(
                429,
                "TooManyRequests",
                f"A client may make {self._limits.requests_per_minute} requests a minute.",
                {"Retry-After": str(seconds)},
            )

    async def _refuse(
        self, error: BaseException, scope: Scope, receive: Receive, exchange: "_Exchange"
    ) -> None:
        reason = problem_of(error)
        if isinstance(error, NotAuthenticatedError):
            reason = Problem(401, "AuthenticationFailed", str(error), self._challenge)
        self._metrics.count_error(reason.code)
        answer = answer_to(reason)
        await answer(scope, receive, exchange.send)

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        route = getattr(scope.get("route"), "path", "none")
        seconds = time.perf_counter() - exchange.started
        status = exchange.status or 0
        self._metrics.count(
            route=route, method=exchange.known_method, status=status, seconds=seconds
        )
        if route in WATCHED_ROUTES and status == HTTPStatus.OK:
            return
        caller = scope["state"].get("caller")
        _log.info(
            "request",
            method=exchange.known_method,
            path=_logged_path(scope, route),
            status=status,
            seconds=round(seconds, 6),
            request_id=exchange.headers["x-ms-request-id"],
            client_id=caller.client_id if caller else None,
        )


def _logged_path(scope: Scope, route: str) -> str:
    """The path without what names a device or a user; nothing of one that nobody answers.

    Whoever has the log must not learn of a person from it, and what is erased is not in it.
    """
    if route == "none":
        return "…"
    named = scope.get("path_params", {})
    harmless = {name: value for name, value in named.items() if name not in PERSONAL_PARAMETERS}
    return _PARAMETER.sub(lambda found: harmless.get(found[1], found[0]), route)


def _check_characters(scope: Scope) -> None:
    """What is escaped must be UTF-8; else it would be taken for another text.

    Raises:
        Problem: It is not.
    """
    for place, escaped in (("path", scope.get("raw_path")), ("query", scope["query_string"])):
        if escaped and b"%" in escaped:
            try:
                unquote_to_bytes(escaped).decode()
            except UnicodeDecodeError as error:
                raise Problem(
                    400, "BadRequest", f"The {place} must be UTF-8 behind its escapes, but is not."
                ) from error


class _Exchange:
    """One request and what was answered so far."""

    def __init__(self, scope: Scope, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._is_head = scope["method"] == "HEAD"
        self.headers = dict(headers)
        self.status: int | None = None
        self.started = time.perf_counter()
        known = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
        self.known_method = scope["method"] if scope["method"] in known else "other"

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the headers that all answers have.

        A HEAD is answered as a GET, headers and all, without the body (RFC 9110, 9.3.2).
        """
        if self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        if message["type"] == "http.response.start":
            self.status = message["status"]
            answer = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                answer.setdefault(name, value)
        await self._send(message)
