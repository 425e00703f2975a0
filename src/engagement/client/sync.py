"""The client for programs that wait for each answer."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from engagement.client.connection import (
    TASKS_A_PAGE,
    TIMEOUT_SECONDS,
    Access,
    answer_of,
    conversation,
    lost_reason,
    request_of,
)
from engagement.client.conversation import Progressed, succeeded
from engagement.client.steps import Answer, FrameKind, Lost, Pause, Send, Step, Steps, Work
from engagement.exceptions import BadInputError
from engagement.model.apps import App
from engagement.model.export_options import ExportOptions
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskOrder, TaskPage
from engagement.model.exports import Estimate, ExportType
from engagement.model.manifest import Manifest

Result = TypeVar("Result")


class Client:
    """Asks a server for exports and reads them. Threads may share one."""

    def __init__(
        self,
        server: str,
        *,
        http: httpx.Client | None = None,
        pause: Callable[[float], None] = time.sleep,
        **access: Unpack[Access],
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            server: Address of the server, like https://HOST.
            http: A client of httpx to send with, for proxies and certificates of your own.
            pause: What waits between tries and looks.
            access: See `Access`.

        Raises:
            BadInputError: The address or the credentials cannot work.
        """
        self._conversation = conversation(server, access)
        self._http = http or httpx.Client(timeout=TIMEOUT_SECONDS)
        self._is_own = http is None
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are those of a client that was given."""
        if self._is_own:
            self._http.close()

    def apps(self, subscription: str | None = None) -> list[App]:
        """The apps of a subscription that the caller may see.

        Raises:
            UnknownAppError: It has none.
        """
        return self._run(self._conversation.apps(subscription))

    def app(self, app: App | str) -> App:
        """The app of an id or a resource path.

        Raises:
            UnknownAppError: There is none, or the caller may not see it.
        """
        return self._run(self._conversation.app(app))

    def create_export(
        self,
        app: App | str,
        export_type: ExportType | str,
        container_url: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ExportOptions],
    ) -> "ExportPoller":
        """A task that was created, once, however often the line broke.

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
        asked = self._conversation.request(app, export_type, container_url, options)
        return self.start_export(app, self._run(asked), idempotency_key=idempotency_key)

    def start_export(
        self, app: App | str, request: ExportRequest, *, idempotency_key: str | None = None
    ) -> "ExportPoller":
        """A task that was created from a request of the model; else as `create_export`."""
        create = self._conversation.create(app, request, idempotency_key=idempotency_key)
        return ExportPoller(self, self._run(create))

    def estimate_export(
        self, app: App | str, export_type: ExportType | str, **options: Unpack[ExportOptions]
    ) -> Estimate:
        """How large an export would be, at the most; creates nothing and needs no container."""
        return self.estimate_request(
            app, self._run(self._conversation.request(app, export_type, "", options))
        )

    def estimate_request(self, app: App | str, request: ExportRequest) -> Estimate:
        """How large the export of a request of the model would be."""
        return self._run(self._conversation.estimate(app, request))

    def get_export(self, app: App | str, task_id: str) -> ExportTask:
        """A task as it is now.

        Raises:
            UnknownTaskError: The app has none with this id.
        """
        return self._run(self._conversation.get(app, task_id))

    def follow_export(self, app: App | str, task_id: str) -> "ExportPoller":
        """A task that was created before, to be waited for."""
        return ExportPoller(self, self.get_export(app, task_id))

    def list_exports(
        self,
        app: App | str,
        *,
        order_by: TaskOrder = TaskOrder.CREATED,
        descending: bool = True,
    ) -> Iterator[ExportTask]:
        """All tasks of an app, the newest first; pages are asked for as they are needed.

        A task that is created meanwhile may be missing, none comes twice.
        """
        first = TaskPage(top=TASKS_A_PAGE, order_by=order_by, descending=descending)
        seen: set[str] = set()
        page = self._run(self._conversation.page(app, first))
        while True:
            yield from (one for one in page.items if one.task_id not in seen)
            seen.update(one.task_id for one in page.items)
            after = self._run(self._conversation.page_after(app, page))
            if after is None:
                return
            page = after

    def cancel_export(self, app: App | str, task_id: str) -> ExportTask:
        """The task after it was asked to stop: at once if it waited, else soon.

        Raises:
            IllegalStateError: It has ended.
        """
        return self._run(self._conversation.cancel(app, task_id))

    def retry_export(self, app: App | str, task_id: str, container_url: str) -> "ExportPoller":
        """A failed or cancelled task, queued again; delivered parts stay delivered.

        Raises:
            IllegalStateError: It has not failed and was not cancelled.
        """
        retry = self._conversation.retry(app, task_id, container_url)
        return ExportPoller(self, self._run(retry))

    def manifest(self, task: ExportTask) -> Manifest:
        """What a task that succeeded delivered.

        Raises:
            IllegalStateError: It has not succeeded.
        """
        return self._run(self._conversation.manifest(task))

    def read(
        self, task: ExportTask | Manifest, container_url: str, as_: FrameKind = "polars"
    ) -> Any:
        """The delivered records as one frame of Polars or pandas, or one table of Arrow.

        Every part is proved first: its bytes, its SHA-256, its number of records.

        Args:
            task: A task that succeeded, or its manifest.
            container_url: The container, with a credential that may read.
            as_: polars, pandas or arrow.

        Raises:
            EngagementError: The task failed or was cancelled; of the class of its code.
            VerificationError: A part is not what the manifest says.
            DestinationError: The container does not give a part.
        """
        return self._run(self._conversation.read(task, container_url, as_))

    def wait_export(
        self,
        task: ExportTask,
        *,
        timeout_seconds: float | None = None,
        on_progress: Progressed | None = None,
    ) -> ExportTask:
        """The task when it has ended, or as it is when the time is over."""
        return self._run(
            self._conversation.follow(
                task, timeout_seconds=timeout_seconds, on_progress=on_progress
            )
        )

    def _run(self, steps: Steps[Result]) -> Result:
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            outcome = self._take(step)

    def _take(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, Pause):
            return self._pause(step.seconds)
        if isinstance(step, Work):
            return step.run()
        token = step.source()
        if isinstance(token, str):
            return token
        raise BadInputError("A Client needs a token function that is not asynchronous.")

    def _send(self, send: Send) -> Answer | Lost:
        body = bytearray()
        try:
            response = self._http.send(
                request_of(self._http, send), stream=True, follow_redirects=False
            )
            try:
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > send.bytes_max:
                        break
            finally:
                response.close()
        except httpx.TransportError as error:
            return Lost(reason=lost_reason(error))
        return answer_of(response, bytes(body))


class ExportPoller:
    """A task and how to wait for its end."""

    def __init__(self, client: Client, task: ExportTask) -> None:
        self._client = client
        self._task = task

    @property
    def task(self) -> ExportTask:
        """The task as it was when last looked at."""
        return self._task

    def refresh(self) -> ExportTask:
        """The task as it is now."""
        self._task = self._client.get_export(self._task.app_id, self._task.task_id)
        return self._task

    def done(self) -> bool:
        """Whether it has ended, well or badly; looks if it had not."""
        return self._task.state.is_final or self.refresh().state.is_final

    def wait(
        self, timeout_seconds: float | None = None, on_progress: Progressed | None = None
    ) -> ExportTask:
        """The task when it has ended, well or badly, or as it is when the time is over.

        What it failed with is its `error`, which `result` raises.

        Args:
            timeout_seconds: How long to wait at most.
            on_progress: Is given the task at each look.
        """
        self._task = self._client.wait_export(
            self._task, timeout_seconds=timeout_seconds, on_progress=on_progress
        )
        return self._task

    def result(
        self, timeout_seconds: float | None = None, on_progress: Progressed | None = None
    ) -> ExportTask:
        """The task when it has succeeded.

        Raises:
            EngagementError: It failed or was cancelled; of the class of its code.
            TimeoutError: The time was over before.
        """
        return succeeded(self.wait(timeout_seconds, on_progress))

    def cancel(self) -> ExportTask:
        """The task after it was asked to stop.

        Raises:
            IllegalStateError: It has ended.
        """
        self._task = self._client.cancel_export(self._task.app_id, self._task.task_id)
        return self._task
