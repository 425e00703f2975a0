"""Admits what devices post: known keys, bounded bodies, no more than can be stored."""

import asyncio
import base64
import binascii
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
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
from engagement.server.body_threads import BodyThreads
from engagement.server.client_addresses import sender_at
from engagement.server.errors import Problem
from engagement.server.metrics import Metrics
from engagement.server.points import PointRecorder

APPS_REMEMBERED_SECONDS = 2
"""How long a key is not looked up again; taking it back takes as long to act."""
APPS_REMEMBERED_MAX = 10_000
INLINE_SENT_BYTES_MAX = 20 * 1024
"""A body that is longer as it was sent is not even looked at in the event loop."""
SMALL_BYTES_MAX = 128 * 1024
"""A plain body up to this size, as nearly all are, does not wait for larger ones."""
SMALL_THREADS, LARGE_THREADS = 2, 1
"""Threads for bodies of either size. More would not help: they take turns for the interpreter."""
BYTES_PER_REQUEST = 64 * 1024
"""Plain bytes for each of which a body counts as a further request."""
LEASES_PER_MINUTE = 1_000
"""How often the requests of one app are counted at most; so exact is their limit."""

Result = TypeVar("Result")


class Admission:
    """Admits the requests of devices, whatever endpoint they are sent to."""

    def __init__(self, runtime: Runtime, metrics: Metrics, points: PointRecorder) -> None:
        settings = runtime.settings
        self.runtime = runtime
        """The service."""
        self._metrics = metrics
        self._points = points
        self._body_bytes_max = settings.collect_bytes_max
        self._apps: dict[bytes, tuple[App | None, float]] = {}
        self._leases: dict[str, int] = {}
        self._small = BodyThreads(SMALL_THREADS, name="small-body")
        self._large = BodyThreads(LARGE_THREADS, name="large-body")
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

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
            raise self.refuse(scope, key)
        self._count_of_app(app.app_id)
        return app

    async def apps_of_body(self, body: bytes, scope: Scope) -> Mapping[str, App]:
        """Return the apps of the keys that a body seems to hold, found without reading it.

        Raises:
            NotAuthenticatedError: There is none in the beginning of the body.
            Problem: The app's devices, or an address without a known key, asked too often.
        """
        sender = _sender_of(scope)
        self._check(self._unknown_rate, sender, "An address")
        keys = await self._small.run(sender, lambda: operations.find_write_keys(body))
        apps = {key: app for key in keys if (app := await self._known(key)) is not None}
        if not apps:
            raise self.refuse(scope, keys[0] if keys else None)
        self._count_of_app(next(iter(apps.values())).app_id)
        return apps

    def refuse(self, scope: Scope, key: str | None) -> NotAuthenticatedError:
        """Return why a request is refused that came with no key of an app, and count it.

        Raises:
            Problem: Such requests come too often from this address.
        """
        self._count(self._unknown_rate, _sender_of(scope), "An address")
        return NotAuthenticatedError(
            "The request needs the key of an app, got " + ("another." if key else "none.")
        )

    async def run(
        self, scope: Scope, body: bytes, inline_bytes_max: int, work: Callable[[], Result]
    ) -> Result:
        """Return what work on a body gives; done at once only if it cannot take long.

        What it costs is told by the size of the plain body, which a compressed one says nothing
        of. A large one waits for its turn in a thread for large ones, so that others go on.

        Args:
            scope: The request.
            body: Its body.
            inline_bytes_max: Plain bytes that are worked on in the event loop.
            work: What to do; it expands the body by itself.
        """
        is_short = len(body) <= INLINE_SENT_BYTES_MAX
        if is_short and operations.is_body_within(body, inline_bytes_max):
            return work()
        sender = _sender_of(scope)

        def work_if_small() -> Result | None:
            return work() if operations.is_body_within(body, SMALL_BYTES_MAX) else None

        done = (
            await self._small.run(sender, work_if_small) if len(body) <= SMALL_BYTES_MAX else None
        )
        return await self._large.run(sender, work) if done is None else done

    async def store(self, protocol: SenderProtocol, app: App, collected: Collected) -> Collected:
        """Return what became of a body, when that is durable.

        Raises:
            StorageFullError: The disk is full; nothing of it is acknowledged.
            StorageUnavailableError: The disk fails; nothing of it is acknowledged.
        """
        # A body counts as several by what it became, whatever it was sent as.
        if more := collected.size // BYTES_PER_REQUEST:
            self._limiter.hit(self._rate, app.app_id, cost=more)
        await asyncio.wrap_future(collected.durable)
        refused = Counter(refusal.code for refusal in collected.refused)
        if collected.unreadable is not None:
            refused[collected.unreadable.code] += 1
        self._metrics.count_logs(
            protocol, size=collected.size, accepted=collected.accepted, refused=refused
        )
        self._points.count(app.app_id, accepted=collected.kinds, refused=refused)
        self._metrics.count_repairs(
            protocol, repaired=collected.repaired, trailing=collected.trailing
        )
        return collected

    async def _known(self, key: str) -> App | None:
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        found = self._apps.get(digest)
        now = time.monotonic()
        if found is not None and now < found[1]:
            return found[0]
        try:
            app = await run_in_threadpool(operations.app_of_key, self.runtime, key)
        except NotAuthenticatedError:
            app = None
        if len(self._apps) >= APPS_REMEMBERED_MAX:
            self._apps.clear()
        self._apps[digest] = (app, now + APPS_REMEMBERED_SECONDS)  # from before the look
        return app

    @property
    def _rate(self) -> RateLimitItemPerMinute:
        """What an app may send here."""
        return self._share_of(self.runtime.settings.collect_requests_per_minute)

    @property
    def _unknown_rate(self) -> RateLimitItemPerMinute:
        """What an address may send here with keys that are none."""
        return self._share_of(self.runtime.settings.unknown_keys_per_minute)

    def _share_of(self, per_minute: int) -> RateLimitItemPerMinute:
        """What of a limit falls to this server, since devices come to all alike."""
        return RateLimitItemPerMinute(max(1, per_minute // self.runtime.collectors))

    def _count_of_app(self, app_id: str) -> None:
        """Count many requests at once: the counter costs more than the rest of a request."""
        left = self._leases.get(app_id, 0)
        if left == 0:
            left = max(1, self._rate.amount // LEASES_PER_MINUTE)
            self._count(self._rate, app_id, "An app", cost=left)
        self._leases[app_id] = left - 1

    def _count(self, rate: RateLimitItemPerMinute, of: str, whose: str, *, cost: int = 1) -> None:
        if not self._limiter.hit(rate, of, cost=cost):
            raise self._too_often(rate, of, whose)

    def _check(self, rate: RateLimitItemPerMinute, of: str, whose: str) -> None:
        if not self._limiter.test(rate, of):
            raise self._too_often(rate, of, whose)

    def _too_often(self, rate: RateLimitItemPerMinute, of: str, whose: str) -> Problem:
        window = self._limiter.get_window_stats(rate, of)
        seconds = max(1, round(window.reset_time - time.time()))
        return Problem(
            429,
            "TooManyRequests",
            f"{whose} may make {rate.amount} requests a minute.",
            {"Retry-After": str(seconds)},
        )


def _sender_of(scope: Scope) -> str:
    """Whoever a request's work is charged to, as its address says."""
    client = scope.get("client")
    return sender_at(client[0]).charged if client else ""


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
