"""Admits what devices post: known keys, bounded bodies, no more than can be stored."""

import asyncio
import base64
import binascii
import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from engagement import operations
from engagement.exceptions import NotAuthenticatedError
from engagement.model.apps import App
from engagement.model.refused import SenderProtocol
from engagement.operations import Collected
from engagement.runtime.opening import Runtime
from engagement.server.body_limits import LimitedBody
from engagement.server.errors import Problem
from engagement.server.metrics import Metrics

APPS_REMEMBERED_SECONDS = 2
"""How long a key is not looked up again; taking it back takes as long to act."""
APPS_REMEMBERED_MAX = 10_000
INLINE_BYTES_MAX = 64 * 1024
"""A body up to this size is decoded at once; a larger one in a thread, so that others go on."""
LEASES_PER_MINUTE = 1_000
"""How often the requests of one app are counted at most; so exact is their limit."""

Result = TypeVar("Result")


class Admission:
    """Admits the requests of devices, whatever endpoint they are sent to."""

    def __init__(self, runtime: Runtime, metrics: Metrics) -> None:
        settings = runtime.settings
        self.runtime = runtime
        """The service."""
        self._metrics = metrics
        self._body_bytes_max = settings.collect_bytes_max
        self._apps: dict[bytes, tuple[App | None, float]] = {}
        self._leases: dict[str, int] = {}
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(settings.collect_requests_per_minute)
        self._unknown_rate = RateLimitItemPerMinute(settings.unknown_keys_per_minute)

    async def body(self, receive: Receive, headers: Headers) -> bytes:
        """Return the whole body as it was sent.

        Raises:
            Problem: It is too large or comes too slowly.
        """
        return await LimitedBody(receive, headers, bytes_max=self._body_bytes_max).read()

    async def app(self, key: str | None, scope: Scope) -> App:
        """Return the app whose key this is.

        Raises:
            NotAuthenticatedError: There is none, or no key was given.
            Problem: The app's devices, or an address without a known key, asked too often.
        """
        app = await self._known(key) if key else None
        if app is None:
            address = scope["client"][0] if scope.get("client") else ""
            self._count(self._unknown_rate, address, "An address")
            raise NotAuthenticatedError(
                "The request needs the key of an app, got " + ("another." if key else "none.")
            )
        self._count_of_app(app.app_id)
        return app

    async def store_body(
        self, protocol: SenderProtocol, body: bytes, collect: Callable[[], Collected]
    ) -> Collected:
        """Return what became of a body, when that is durable.

        Raises:
            OverloadedError: Too much waits; nothing of it is kept.
            StorageFullError: The disk is full; nothing of it is acknowledged.
            StorageUnavailableError: The disk fails; nothing of it is acknowledged.
        """
        collected = await run_for_body(body, collect)
        await asyncio.wrap_future(collected.durable)
        refused = [refusal.code for refusal in collected.refused]
        if collected.unreadable is not None:
            refused.append(collected.unreadable.code)
        self._metrics.count_logs(protocol, accepted=collected.accepted, refused=refused)
        self._metrics.count_repairs(
            protocol, repaired=collected.repaired, trailing=collected.trailing
        )
        return collected

    async def _known(self, key: str) -> App | None:
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        found = self._apps.get(digest)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        try:
            app = await run_in_threadpool(operations.app_of_key, self.runtime, key)
        except NotAuthenticatedError:
            app = None
        if len(self._apps) >= APPS_REMEMBERED_MAX:
            self._apps.clear()
        self._apps[digest] = (app, time.monotonic() + APPS_REMEMBERED_SECONDS)
        return app

    def _count_of_app(self, app_id: str) -> None:
        """Count many requests at once: the counter costs more than the rest of a request."""
        left = self._leases.get(app_id, 0)
        if left == 0:
            left = max(1, self._rate.amount // LEASES_PER_MINUTE)
            self._count(self._rate, app_id, "An app", cost=left)
        self._leases[app_id] = left - 1

    def _count(self, rate: RateLimitItemPerMinute, of: str, whose: str, *, cost: int = 1) -> None:
        if not self._limiter.hit(rate, of, cost=cost):
            window = self._limiter.get_window_stats(rate, of)
            seconds = max(1, round(window.reset_time - time.time()))
            raise Problem(
                429,
                "TooManyRequests",
                f"{whose} may make {rate.amount} requests a minute.",
                {"Retry-After": str(seconds)},
            )


async def run_for_body(body: bytes, work: Callable[[], Result]) -> Result:
    """Return what work on a body gives; in a thread if it takes long, so that others go on."""
    return work() if len(body) <= INLINE_BYTES_MAX else await run_in_threadpool(work)


def key_of(headers: Headers) -> str | None:
    """Return the app key of a request: a bearer token, or the name of basic authentication."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip() or None
    if scheme.lower() == "basic":
        try:
            name, _, _ = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name or None
    return None
