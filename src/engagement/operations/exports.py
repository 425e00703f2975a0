"""The operations on export tasks."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

from engagement.deliver import object_names
from engagement.deliver.urls import parse_container_url
from engagement.exceptions import (
    BadInputError,
    IdempotencyKeyReusedError,
    IllegalStateError,
    UnknownTaskError,
)
from engagement.export.ended_log import log_ended
from engagement.export.report import manifest_of
from engagement.export.requests import shape_of_request
from engagement.export.verify import Verification, verify_delivered, verify_with_lake
from engagement.model.audit import Action
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.model.exports import ExportState, Progress
from engagement.model.records import new_guid
from engagement.model.request_identity import write_identity
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime
from engagement.store.queries.tasks import Idempotency

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
WAIT_POLL_SECONDS = 0.02


def create_export(
    runtime: Runtime, request: ExportRequest, *, idempotency_key: str | None = None
) -> ExportTask:
    """A queued task; it runs where the workers are, and goes on after any crash.

    Args:
        runtime: The service.
        request: What to export and where to.
        idempotency_key: The caller's name of this request; a repeat of both gives the same task.

    Raises:
        UnknownAppError: No app has this id.
        InvalidExportError: It names columns that the type does not have.
        InvalidContainerError: The container URL is empty or cannot work.
        DestinationError: The container refuses a write now.
        IdempotencyKeyReusedError: The key came with another request before.
        TooManyTasksError: The app has as many unfinished exports as it may.
    """
    runtime.apps.get(request.app_id)
    shape_of_request(request)
    url = parse_container_url(request.container_url, runtime.policy, now=runtime.clock())
    idempotency = idempotency_key and _idempotency(request, url.redacted, idempotency_key)
    if idempotency and (found := _repeated(runtime, request.app_id, idempotency)):
        return found
    runtime.destination(request.container_url).check()
    task = _queued_task(runtime, request, container=url.redacted)
    _record(runtime, Action.EXPORT_CREATE, task)
    is_new = runtime.tasks.add(
        task,
        sealed_container_url=runtime.task_vault.seal(request.container_url, context=task.task_id),
        idempotency=idempotency or None,
    )
    if not is_new and idempotency and (found := _repeated(runtime, request.app_id, idempotency)):
        return found  # the same request came twice at the same time
    if runtime.runner is not None:
        runtime.runner.submit(task.task_id)
    return task


def _queued_task(runtime: Runtime, request: ExportRequest, *, container: str) -> ExportTask:
    task_id = new_guid()
    return ExportTask(
        task_id=task_id,
        request=replace(request, container_url=""),
        state=ExportState.QUEUED,
        container=container,
        folder=object_names.folder(request.export_type, task_id),
        created_at=runtime.clock(),
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
        progress=Progress(),
        attempt=1,
    )


def _record(runtime: Runtime, action: Action, task: ExportTask) -> None:
    """Keep who asks for something to be done with a task; its container has no secrets."""
    subject = f"{task.export_type.value} export {task.task_id} to {task.container}"
    record_change(runtime, action, app_id=task.app_id, subject=subject)


def _idempotency(request: ExportRequest, container: str, key: str) -> Idempotency:
    """A repeat may bring a new SAS, so the credential is not a part of what was asked."""
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX or not key.isprintable():
        raise BadInputError(
            f"An idempotency key must have 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} printable "
            f"characters, got {len(key)}."
        )
    identity = f"{container}\n{write_identity(request)}"
    return Idempotency(key=key, request_sha256=hashlib.sha256(identity.encode()).hexdigest())


def _repeated(runtime: Runtime, app_id: str, idempotency: Idempotency) -> ExportTask | None:
    kept = runtime.tasks.with_idempotency_key(app_id, idempotency.key)
    if kept is None:
        return None
    task_id, request_sha256 = kept
    if request_sha256 != idempotency.request_sha256:
        raise IdempotencyKeyReusedError(
            "An idempotency key must come with the same request each time, got another request; "
            "use a new key for it."
        )
    return get_export(runtime, task_id)


def get_export(runtime: Runtime, task_id: str) -> ExportTask:
    """The task with this id, with its progress.

    Raises:
        UnknownTaskError: There is none.
    """
    return runtime.tasks.get(task_id, now=runtime.clock())


def list_exports(
    runtime: Runtime, *, app_id: str | None = None, limit: int = 50
) -> list[ExportTask]:
    """The newest tasks, of one app or of all, newest first."""
    return runtime.tasks.list_newest(app_id=app_id, limit=limit, now=runtime.clock())


def list_exports_page(runtime: Runtime, app_id: str, page: TaskPage) -> list[ExportTask]:
    """A page of an app's tasks, and one more if there are more pages."""
    return runtime.tasks.list_page(app_id, replace(page, top=page.top + 1), now=runtime.clock())


def count_exports(runtime: Runtime) -> dict[ExportState, int]:
    """How many tasks of all apps are in each state."""
    return runtime.tasks.counts()


def export_manifest(runtime: Runtime, task_id: str) -> bytes:
    """The manifest of a task that succeeded, the very bytes that lie in the container.

    Raises:
        UnknownTaskError: There is none.
        IllegalStateError: It has not succeeded.
    """
    task = get_export(runtime, task_id)
    head = runtime.plans.read_export(task_id).plan_head
    if task.state is not ExportState.SUCCEEDED or head is None:
        raise IllegalStateError(f"Only a task that succeeded has a manifest, got {task.state}.")
    return manifest_of(task_id, task.request, head, runtime.plans.receipts(task_id))


def cancel_export(runtime: Runtime, task_id: str) -> ExportTask:
    """The task after the request: cancelled if it was waiting, else soon.

    Raises:
        UnknownTaskError: There is none.
        IllegalStateError: It has ended.
    """
    _record(runtime, Action.EXPORT_CANCEL, get_export(runtime, task_id))
    if not runtime.tasks.cancel(task_id, now=runtime.clock()):
        state = get_export(runtime, task_id).state
        raise IllegalStateError(f"Only a task that has not ended can be cancelled, got {state}.")
    runtime.task_vault.destroy_ended(runtime.tasks)
    task = get_export(runtime, task_id)
    if task.state.is_final:  # one that runs is told of by whoever runs it
        log_ended(task)
    return task


def retry_export(runtime: Runtime, task_id: str, *, container_url: str | None = None) -> ExportTask:
    """The task, queued again with a container URL that works; delivered parts stay delivered.

    Args:
        runtime: The service.
        task_id: A failed or cancelled task.
        container_url: The same container with a credential that works; it was erased at the end.

    Raises:
        UnknownTaskError: There is none.
        IllegalStateError: It has not failed.
        InvalidContainerError: No container URL was given, or it names another container.
        DestinationError: The container refuses a write now.
    """
    task = get_export(runtime, task_id)
    if task.state not in {ExportState.FAILED, ExportState.CANCELLED}:
        raise IllegalStateError(
            f"Only a failed or cancelled task can be retried, got {task.state}."
        )
    if container_url is None:
        raise BadInputError("A retry needs a container URL: the old one was erased at the end.")
    url = parse_container_url(container_url, runtime.policy, now=runtime.clock())
    if url.redacted != task.container:
        raise BadInputError(
            f"A retry must go to the same container, {task.container}, got {url.redacted}."
        )
    runtime.destination(container_url).check()
    erased_at = runtime.erased.find_last_at(task.request.app_id)
    if erased_at is not None:  # while the task ran, perhaps, when its plan had to stay
        runtime.plans.forget_parts(task.request.app_id, started_until=erased_at)
    _record(runtime, Action.EXPORT_RETRY, task)
    sealed = runtime.task_vault.seal(container_url, context=task_id, attempt=task.attempt + 1)
    if runtime.tasks.reopen(task, sealed_container_url=sealed) and runtime.runner is not None:
        runtime.runner.submit(task_id)
    return get_export(runtime, task_id)


def wait_export(
    runtime: Runtime,
    task_id: str,
    *,
    on_progress: Callable[[ExportTask], None] = lambda _: None,
    timeout_seconds: float | None = None,
) -> ExportTask:
    """The task when it has ended, or as it is when the time is over.

    Raises:
        StorageFullError: The disk is too full for the tasks that run here. The task remains, and
            goes on as soon as the service finds room.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        task = get_export(runtime, task_id)
        on_progress(task)
        if task.state.is_final or (deadline is not None and time.monotonic() >= deadline):
            return task
        if runtime.runner is not None and (full := runtime.runner.health().storage_full):
            raise full
        time.sleep(WAIT_POLL_SECONDS)


def verify_export(runtime: Runtime, *, container_url: str, folder: str) -> Verification:
    """What was proved of a delivered export: its bytes, its rows, and the lake where at hand.

    Args:
        runtime: The service; if it made the export, the parts are computed anew and compared.
        container_url: The container, with a credential that may read.
        folder: The folder of the manifest, below the container URL's prefix.

    Raises:
        VerificationError: The export is not what its manifest says; names the part.
        DestinationError: The manifest or a part is not there, or may not be read.
    """
    destination = runtime.destination(container_url, permission="r")
    delivered, verification = verify_delivered(destination, folder)
    try:
        plan = runtime.plans.read_plan(delivered.task_id)
    except UnknownTaskError:
        return verification
    if plan is None:
        return verification
    request = get_export(runtime, delivered.task_id).request
    verify_with_lake(runtime.lake, request, plan, delivered)
    return replace(verification, compared_with_lake=True)
