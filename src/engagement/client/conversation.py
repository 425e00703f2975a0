"""What the client can do, written once for both the blocking and the other one."""

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from engagement.client import calls
from engagement.client.calls import Page
from engagement.client.exchange import Exchange
from engagement.client.fetching import fetch_part
from engagement.client.steps import FrameKind, Pause, Steps, Work
from engagement.exceptions import (
    BadInputError,
    UnknownAppError,
)
from engagement.model.apps import App
from engagement.model.export_options import ExportOptions, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.model.exports import Estimate, ExportType
from engagement.model.manifest import Manifest

POLL_SECONDS_FIRST = 0.05
POLL_SECONDS_MAX = 5.0
POLL_GROWTH = 1.5
RETRY_AFTER_SECONDS_MAX = 60.0

Progressed = Callable[[ExportTask], None]


class Conversation:
    """The operations on one server, as steps for somebody to take."""

    def __init__(self, exchange: Exchange, *, subscription: str) -> None:
        self._exchange = exchange
        self._subscription = subscription
        self._apps: dict[str, App] = {}

    def apps(self, subscription: str | None = None) -> Steps[list[App]]:
        """The apps of a subscription that the caller may see."""
        wanted = subscription or self._subscription
        collections = yield from self._exchange.ask(calls.list_collections(wanted))
        found: list[App] = []
        for one in collections:
            found += yield from self._exchange.ask(calls.list_apps(one))
        self._remember(found)
        return found

    def app(self, given: App | str) -> Steps[App]:
        """The app of an id or a resource path.

        Raises:
            UnknownAppError: There is none, or the caller may not see it.
            BadInputError: It is neither an id nor a resource path.
        """
        if isinstance(given, App):
            self._remember([given])
            return given
        if given.lower() in self._apps:
            return self._apps[given.lower()]
        if given.startswith("/"):
            calls.app_names(given)
            collection = given.rstrip("/").rsplit("/", 2)[0]
            self._remember((yield from self._exchange.ask(calls.list_apps(collection))))
        elif "/" in given:
            raise BadInputError(f"A resource path must begin with a slash, got {given[:200]!r}.")
        else:
            yield from self.apps()
        found = self._apps.get(given.rstrip("/").lower())
        if found is None:
            raise UnknownAppError(f"No app that the client may see is {given[:200]!r}.")
        return found

    def request(
        self,
        app: App | str,
        export_type: ExportType | str,
        container_url: str,
        options: ExportOptions,
    ) -> Steps[ExportRequest]:
        """The request that the options make."""
        owner = yield from self.app(app)
        return request_of(owner.app_id, export_type, container_url, options)

    def create(
        self, app: App | str, request: ExportRequest, *, idempotency_key: str | None = None
    ) -> Steps[ExportTask]:
        """A task; a key goes with every request, so that no repeat makes a second one."""
        owner = yield from self.app(app)
        key = idempotency_key or uuid.uuid4().hex
        call = calls.create_export(owner, request, idempotency_key=key)
        return (yield from self._exchange.ask(call))

    def estimate(self, app: App | str, request: ExportRequest) -> Steps[Estimate]:
        """How large an export would be."""
        owner = yield from self.app(app)
        return (yield from self._exchange.ask(calls.estimate_export(owner, request)))

    def get(self, app: App | str, task_id: str) -> Steps[ExportTask]:
        """A task."""
        owner = yield from self.app(app)
        return (yield from self._exchange.ask(calls.get_export(owner, task_id)))

    def page(self, app: App | str, page: TaskPage) -> Steps[Page[ExportTask]]:
        """A page of tasks."""
        owner = yield from self.app(app)
        return (yield from self._exchange.ask(calls.list_exports(owner, page)))

    def page_after(self, app: App | str, page: Page[ExportTask]) -> Steps[Page[ExportTask] | None]:
        """The page after one; None if that was the last."""
        if page.next_query is None:
            return None
        owner = yield from self.app(app)
        call = calls.list_exports_after(owner, page.next_query)
        return (yield from self._exchange.ask(call))

    def cancel(self, app: App | str, task_id: str) -> Steps[ExportTask]:
        """The task after it was asked to stop."""
        owner = yield from self.app(app)
        return (yield from self._exchange.ask(calls.cancel_export(owner, task_id)))

    def retry(self, app: App | str, task_id: str, container_url: str) -> Steps[ExportTask]:
        """The task, queued again."""
        owner = yield from self.app(app)
        return (yield from self._exchange.ask(calls.retry_export(owner, task_id, container_url)))

    def manifest(self, task: ExportTask) -> Steps[Manifest]:
        """The manifest of a task that succeeded."""
        owner = yield from self.app(task.app_id)
        return (yield from self._exchange.ask(calls.get_manifest(owner, task.task_id)))

    def follow(
        self, task: ExportTask, *, timeout_seconds: float | None, on_progress: Progressed | None
    ) -> Steps[ExportTask]:
        """The task when it has ended, or as it is when the time is over."""
        owner = yield from self.app(task.app_id)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        delay = POLL_SECONDS_FIRST
        while True:
            if on_progress is not None:
                on_progress(task)
            left = None if deadline is None else deadline - time.monotonic()
            if task.state.is_final or (left is not None and left <= 0):
                return task
            yield Pause(seconds=delay if left is None else min(delay, left))
            call = calls.get_export(owner, task.task_id)
            task, asked = yield from self._exchange.ask_and_hear(call)
            delay = max(
                min(delay * POLL_GROWTH, POLL_SECONDS_MAX),
                min(asked or 0.0, RETRY_AFTER_SECONDS_MAX),
            )

    def read(
        self, delivered: ExportTask | Manifest, container_url: str, as_: FrameKind
    ) -> Steps[Any]:
        """The delivered records as one frame, each part proved against the manifest."""
        if as_ not in get_args(FrameKind):
            wanted = ", ".join(get_args(FrameKind))
            raise BadInputError(f"A frame is one of {wanted}, got {as_!r:.40}.")
        # Arrow takes a while to load and most uses of the client do without.
        from engagement.client import reading  # noqa: PLC0415

        if isinstance(delivered, ExportTask) and delivered.error is not None:
            raise delivered.error
        manifest = delivered
        if isinstance(manifest, ExportTask):
            manifest = yield from self.manifest(manifest)
        tables = []
        for part in manifest.parts:
            data = yield from fetch_part(
                manifest, part, container_url, retries=self._exchange.retries
            )
            tables.append((yield Work(run=partial(reading.part_table, manifest, part, data))))
        return (yield Work(run=lambda: reading.frame_of(manifest, tables, as_)))

    def _remember(self, apps: list[App]) -> None:
        for one in apps:
            self._apps[one.app_id.lower()] = self._apps[one.resource_path.lower()] = one


def succeeded(task: ExportTask) -> ExportTask:
    """The task, if it has succeeded.

    Raises:
        EngagementError: It failed or was cancelled; of the class of its code.
        TimeoutError: It has not ended.
    """
    if not task.state.is_final:
        raise TimeoutError(f"The task {task.task_id} must have ended by now, but is {task.state}.")
    if task.error is not None:
        raise task.error
    return task
