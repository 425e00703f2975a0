"""The Python client of a server."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, Unpack, get_args

import httpx

from engagement.client import calls
from engagement.client.access import DEFAULT_SUBSCRIPTION, RETRIES, TIMEOUT_SECONDS, Access
from engagement.client.asynchronous.administration import AsyncAppAdministration
from engagement.client.asynchronous.apps import AsyncAppDirectory
from engagement.client.asynchronous.connection import AsyncServerConnection
from engagement.client.asynchronous.credentials import credentials_of
from engagement.client.asynchronous.parts import fetch_part
from engagement.client.asynchronous.sending import AsyncRetryingSender
from engagement.client.concurrency import AsyncPause, run_in_thread
from engagement.client.frame_kinds import FrameKind
from engagement.exceptions import BadInputError
from engagement.model.apps import App
from engagement.model.export_options import ExportOptions, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskOrder, TaskPage
from engagement.model.exports import Estimate, ExportType
from engagement.model.http import server_address
from engagement.model.manifest import Manifest

POLL_SECONDS_FIRST = 0.05
POLL_SECONDS_MAX = 5.0
POLL_GROWTH = 1.5
RETRY_AFTER_SECONDS_MAX = 60.0
TASKS_A_PAGE = 40

Progressed = Callable[[ExportTask], None]


class AsyncClient(AsyncAppAdministration):
    """Asks a server for exports and reads them.

    Threads may share a `Client`, tasks of one event loop an `AsyncClient`.
    """

    def __init__(
        self,
        server: str,
        *,
        http: httpx.AsyncClient | None = None,
        pause: AsyncPause = asyncio.sleep,
        **access: Unpack[Access],
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            server: Address of the server, like https://HOST.
            http: A client of httpx to send with, for proxies and certificates of your own.
            pause: Waits between tries and between looks at a task.
            access: See `Access`.

        Raises:
            BadInputError: The address or the credentials cannot work.
        """
        credentials = credentials_of(access)
        address = server_address(server, allow_http=access.get("allow_http", False))
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._is_own = http is None
        self._pause = pause
        self._sender = AsyncRetryingSender(
            self._http, retries=access.get("retries", RETRIES), pause=pause
        )
        self._connection = AsyncServerConnection(address, credentials, self._sender)
        self._apps = AsyncAppDirectory(
            self._connection, subscription=access.get("subscription", DEFAULT_SUBSCRIPTION)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if self._is_own:
            await self._http.aclose()

    async def apps(self, subscription: str | None = None) -> list[App]:
        """Return the apps of a subscription that the caller may see.

        Raises:
            UnknownAppError: It has none.
        """
        return await self._apps.list_all(subscription)

    async def app(self, app: App | str) -> App:
        """Return the app of an id or a resource path.

        Raises:
            UnknownAppError: There is none, or the caller may not see it.
        """
        return await self._apps.find(app)

    async def create_export(
        self,
        app: App | str,
        export_type: ExportType | str,
        container_url: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ExportOptions],
    ) -> "AsyncExportPoller":
        """Create an export task, once, however often the connection breaks.

        Args:
            app: The app, its id or its resource path.
            export_type: What to export.
            container_url: Where to, with the credential to write.
            idempotency_key: Your name of this request, so that even another run of your program
                does not create a second task.
            options: See `ExportOptions`.

        Raises:
            InvalidExportError: There is no such export.
            InvalidContainerError: The container URL cannot work.
            DestinationError: The container refuses a write now.
            IdempotencyKeyReusedError: The key came with another request before.
        """
        owner = await self.app(app)
        request = request_of(owner.app_id, export_type, container_url, options)
        return await self.start_export(owner, request, idempotency_key=idempotency_key)

    async def start_export(
        self, app: App | str, request: ExportRequest, *, idempotency_key: str | None = None
    ) -> "AsyncExportPoller":
        """Create an export task from a request of the model; else as `create_export`."""
        owner = await self.app(app)
        # A key goes with every request, so that no repeat makes a second task.
        key = idempotency_key or uuid.uuid4().hex
        call = calls.create_export(owner, request, idempotency_key=key)
        return AsyncExportPoller(self, await self._connection.call(call))

    async def estimate_export(
        self, app: App | str, export_type: ExportType | str, **options: Unpack[ExportOptions]
    ) -> Estimate:
        """Return the largest size an export may have; create nothing, and need no container."""
        owner = await self.app(app)
        request = request_of(owner.app_id, export_type, "", options)
        return await self.estimate_request(owner, request)

    async def estimate_request(self, app: App | str, request: ExportRequest) -> Estimate:
        """Return the largest size that the export of a request of the model may have."""
        return await self._connection.call(calls.estimate_export(await self.app(app), request))

    async def get_export(self, app: App | str, task_id: str) -> ExportTask:
        """Return a task as it is now.

        Raises:
            UnknownTaskError: The app has none with this id.
        """
        return await self._connection.call(calls.get_export(await self.app(app), task_id))

    async def follow_export(self, app: App | str, task_id: str) -> "AsyncExportPoller":
        """Return a poller for a task that was created before."""
        return AsyncExportPoller(self, await self.get_export(app, task_id))

    async def list_exports(
        self,
        app: App | str,
        *,
        order_by: TaskOrder = TaskOrder.CREATED,
        descending: bool = True,
    ) -> AsyncIterator[ExportTask]:
        """Yield all tasks of an app, the newest first; pages are fetched as they are needed.

        A task that is created meanwhile may be missing; none comes twice.
        """
        first = TaskPage(top=TASKS_A_PAGE, order_by=order_by, descending=descending)
        seen: set[str] = set()
        owner = await self.app(app)
        page = await self._connection.call(calls.list_exports(owner, first))
        while True:
            for task in page.items:
                if task.task_id not in seen:
                    yield task
            seen.update(task.task_id for task in page.items)
            if page.next_query is None:
                return
            page = await self._connection.call(calls.list_exports_after(owner, page.next_query))

    async def cancel_export(self, app: App | str, task_id: str) -> ExportTask:
        """Ask a task to stop: at once if it waits, else soon. Return it as it is then.

        Raises:
            IllegalStateError: It has ended.
        """
        return await self._connection.call(calls.cancel_export(await self.app(app), task_id))

    async def retry_export(
        self, app: App | str, task_id: str, container_url: str
    ) -> "AsyncExportPoller":
        """Queue a failed or cancelled task again; delivered parts stay delivered.

        Raises:
            IllegalStateError: It has not failed and was not cancelled.
        """
        call = calls.retry_export(await self.app(app), task_id, container_url)
        return AsyncExportPoller(self, await self._connection.call(call))

    async def manifest(self, task: ExportTask) -> Manifest:
        """Return the manifest of what a task that succeeded delivered.

        Raises:
            IllegalStateError: It has not succeeded.
        """
        owner = await self.app(task.app_id)
        return await self._connection.call(calls.get_manifest(owner, task.task_id))

    async def read(
        self, task: ExportTask | Manifest, container_url: str, as_: FrameKind = "polars"
    ) -> Any:
        """Return the delivered records as one frame of Polars or pandas, or one table of Arrow.

        Every part is verified first: its size, its SHA-256, its number of records.

        Args:
            task: A task that succeeded, or its manifest.
            container_url: The container, with a credential that may read.
            as_: polars, pandas or arrow.

        Raises:
            BadInputError: There is no such frame, or a library that it needs is not installed.
            EngagementError: The task failed or was cancelled; of the class of its code.
            VerificationError: A part is not what the manifest says.
            DestinationError: The container does not give a part.
        """
        if as_ not in get_args(FrameKind):
            wanted = ", ".join(get_args(FrameKind))
            raise BadInputError(f"A frame is one of {wanted}, got {as_!r:.40}.")
        # Arrow takes a while to load and most uses of the client do without.
        try:
            from engagement.client import reading  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise BadInputError(
                f"Frames need {error.name}: pip install 'engagement-export[frames]'"
            ) from error

        manifest = task
        if isinstance(manifest, ExportTask):
            if manifest.error is not None:
                raise manifest.error
            manifest = await self.manifest(manifest)
        tables = []
        for part in manifest.parts:
            data = await fetch_part(self._sender, manifest, part, container_url)
            tables.append(await run_in_thread(reading.part_table, manifest, part, data))
        return await run_in_thread(reading.frame_of, manifest, tables, as_)

    async def wait_export(
        self,
        task: ExportTask,
        *,
        timeout_seconds: float | None = None,
        on_progress: Progressed | None = None,
    ) -> ExportTask:
        """Return the task when it has ended, or as it is when the time is over."""
        owner = await self.app(task.app_id)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        delay = POLL_SECONDS_FIRST
        while True:
            if on_progress is not None:
                on_progress(task)
            left = None if deadline is None else deadline - time.monotonic()
            if task.state.is_final or (left is not None and left <= 0):
                return task
            await self._pause(delay if left is None else min(delay, left))
            call = calls.get_export(owner, task.task_id)
            task, retry_after = await self._connection.call_and_hear(call)
            delay = max(
                min(delay * POLL_GROWTH, POLL_SECONDS_MAX),
                min(retry_after or 0.0, RETRY_AFTER_SECONDS_MAX),
            )


class AsyncExportPoller:
    """A task and how to wait for its end."""

    def __init__(self, client: AsyncClient, task: ExportTask) -> None:
        self._client = client
        self._task = task

    @property
    def task(self) -> ExportTask:
        """The task as it was when last looked at."""
        return self._task

    async def refresh(self) -> ExportTask:
        """Fetch the task as it is now."""
        self._task = await self._client.get_export(self._task.app_id, self._task.task_id)
        return self._task

    async def done(self) -> bool:
        """Return whether it has ended, well or badly; fetch it if it had not."""
        return self._task.state.is_final or (await self.refresh()).state.is_final

    async def wait(
        self, timeout_seconds: float | None = None, on_progress: Progressed | None = None
    ) -> ExportTask:
        """Return the task when it has ended, well or badly, or as it is when the time is over.

        What it failed with is its `error`, which `result` raises.

        Args:
            timeout_seconds: How long to wait at most.
            on_progress: Called with the task each time it was fetched.
        """
        self._task = await self._client.wait_export(
            self._task, timeout_seconds=timeout_seconds, on_progress=on_progress
        )
        return self._task

    async def result(
        self, timeout_seconds: float | None = None, on_progress: Progressed | None = None
    ) -> ExportTask:
        """Return the task when it has succeeded.

        Raises:
            EngagementError: It failed or was cancelled; of the class of its code.
            TimeoutError: The time was over before.
        """
        task = await self.wait(timeout_seconds, on_progress)
        if not task.state.is_final:
            raise TimeoutError(
                f"The task {task.task_id} must have ended by now, but is {task.state}."
            )
        if task.error is not None:
            raise task.error
        return task

    async def cancel(self) -> ExportTask:
        """Ask the task to stop, and return it as it is then.

        Raises:
            IllegalStateError: It has ended.
        """
        self._task = await self._client.cancel_export(self._task.app_id, self._task.task_id)
        return self._task
