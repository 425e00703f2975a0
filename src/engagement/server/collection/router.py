"""Routes the requests of devices to their endpoints, without the middleware of the API.

Devices come by the thousand, know one key each and are answered in a few shapes, so a request
passes nothing that it does not need: no log line each, no routes to try.
"""

import re
import time
from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engagement.exceptions import WANTED_ENDS, EngagementError, NotAuthenticatedError
from engagement.server.errors import Problem, answer_to, problem
from engagement.server.metrics import Metrics

_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_SLASHES = re.compile("/{2,}")
_log = structlog.get_logger()


class CollectionEndpoint(Protocol):
    """Answers the requests to some paths."""

    headers: Mapping[str, str]
    """What every answer says, also one that refuses."""

    def route(self, path: str) -> str | None:
        """Return the template of a `plain_path`, without keys, if the endpoint answers there."""

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Return the answer to one request."""


class CollectionRouter:
    """The endpoints of devices, and one application for all other requests."""

    def __init__(
        self, endpoints: Sequence[CollectionEndpoint], *, others: ASGIApp, metrics: Metrics
    ) -> None:
        self._endpoints = endpoints
        self._others = others
        self.metrics = metrics
        """What the server counts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path = plain_path(scope["path"])
            for endpoint in self._endpoints:
                if (route := endpoint.route(path)) is not None:
                    await self._answer(endpoint, route, {**scope, "path": path}, receive, send)
                    return
        await self._others(scope, receive, send)

    def count_refused(self) -> None:
        """Count a request that was refused before it came here."""
        self.metrics.count(route="none", method="POST", status=503, seconds=0)

    async def _answer(
        self, endpoint: CollectionEndpoint, route: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        started = time.perf_counter()
        try:
            answer = await endpoint.answer(scope, receive)
        except ClientDisconnect:
            return
        except (CancelledError, *WANTED_ENDS):
            raise
        except BaseException as error:  # noqa: BLE001 - panics too get an answer
            answer = _refusal(error)
        answer.headers.update({**_HEADERS, **endpoint.headers})
        self.metrics.count(
            route=route,
            method=scope["method"] if scope["method"] in {"POST", "GET", "HEAD"} else "other",
            status=answer.status_code,
            seconds=time.perf_counter() - started,
        )
        if scope["method"] == "HEAD":
            answer.body = b""  # its length stays in the headers
        await answer(scope, receive, send)


def plain_path(path: str) -> str:
    """Return the path with each run of slashes as one, and none at the end.

    SDKs put their paths behind an address that somebody typed, with a slash at its end or not.
    """
    return _SLASHES.sub("/", path).rstrip("/") if "//" in path or path.endswith("/") else path


def _refusal(error: BaseException) -> Response:
    if isinstance(error, NotAuthenticatedError):
        return problem(401, "AuthenticationFailed", str(error), _CHALLENGE)
    if not isinstance(error, (EngagementError, Problem)):
        _log.error("collect_failed", error=type(error).__name__, exc_info=True)
    return answer_to(error)
