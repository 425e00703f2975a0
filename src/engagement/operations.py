"""This module is the one door: every operation of the service, as a function of a Runtime."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import BinaryIO

from engagement.collect import reading
from engagement.collect.inbox import accept
from engagement.collect.limits import guid
from engagement.collect.payload import Batch, decode_batch
from engagement.deliver import manifest
from engagement.deliver.urls import parse_container_url
from engagement.exceptions import (
    BadInputError,
    CorruptInputError,
    IllegalStateError,
    UnknownTaskError,
)
from engagement.export.plan import decode_plan
from engagement.export.requests import decode_request, encode_request
from engagement.export.verify import Verification, verify_delivered, verify_with_lake
from engagement.model.apps import App, NewApp
from engagement.model.exports import (
    ExportRequest,
    ExportState,
    ExportTask,
    Progress,
)
from engagement.model.records import new_guid
from engagement.runtime import Runtime
from engagement.sample.population import generate
from engagement.store.upkeep import Upkeep, UpkeepReport

NAME_CHARACTERS_MAX = 64
IMPORT_BATCHES_PER_TRANSACTION = 256
WAIT_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLog:
    """A log, or a whole batch, that an import did not accept."""

    line: int
    """Line of the input, from 1."""
    index: int | None
    """Place of the log in its batch, from 0; None if the batch was refused."""
    code: str
    """Why, as a code."""
    message: str
    """Why, in words."""


@dataclass(slots=True, kw_only=True)
class ImportSummary:
    """What an import did so far."""

    batches: int = 0
    """Batches that were new."""
    duplicates: int = 0
    """Batches that were accepted before."""
    accepted: int = 0
    """Logs accepted."""
    refused: dict[str, int] = field(default_factory=dict)
    """Logs and batches refused, by code."""
    bytes: int = 0
    """Bytes of input read, decompressed."""


def create_app(
    runtime: Runtime, *, name: str, collection: str, resource_group: str, subscription: str
) -> NewApp:
    """A registered app, with the key that is shown this once.

    Raises:
        BadInputError: A name is empty or too long, or the app exists.
    """
    given = {
        "app name": name,
        "collection": collection,
        "resource group": resource_group,
        "subscription": subscription,
    }
    for what, value in given.items():
        if not 0 < len(value) <= NAME_CHARACTERS_MAX or not value.isprintable() or "/" in value:
            raise BadInputError(
                f"The {what} must have 1 to {NAME_CHARACTERS_MAX} printable characters "
                f"and no slash, got {value!r}."
            )
    app = App(
        app_id=new_guid(),
        name=name,
        collection=collection,
        resource_group=resource_group,
        subscription=subscription,
    )
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    runtime.apps.add(app, key_sha256=digest, created_at=runtime.clock())
    return NewApp(app=app, app_key=key)


def list_apps(runtime: Runtime) -> list[App]:
    """Every app, oldest first."""
    return runtime.apps.list_all()


def get_app(runtime: Runtime, app_id: str) -> App:
    """The app with this id.

    Raises:
        UnknownAppError: There is none.
    """
    return runtime.apps.get(app_id)


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of plain, gzip or zstd input, with bounded memory.

    Raises:
        CorruptInputError: The input cannot be decompressed, or a line is too long; says where.
    """
    return reading.read_lines(stream)


def generate_sample(*, devices: int, days: int, seed: int) -> Iterator[bytes]:
    """Realistic batches, one a line, the same for the same arguments on every machine."""
    return generate(devices=devices, days=days, seed=seed)


def import_batches(
    runtime: Runtime,
    *,
    app_id: str,
    lines: Iterable[bytes],
    on_refused: Callable[[RefusedLog], None] = lambda _: None,
    on_progress: Callable[[ImportSummary], None] = lambda _: None,
) -> ImportSummary:
    """Return only when every accepted log is in the lake, each once.

    Device clocks are taken as they are, since a file may be read long after it was written.
    An import that was interrupted can be repeated: batches that were accepted are known.

    Args:
        runtime: The service, with workers.
        app_id: The app that the batches belong to.
        lines: One batch each, as JSON.
        on_refused: Told each log and each batch that is refused.
        on_progress: Told the summary so far, after each transaction.

    Raises:
        UnknownAppError: No app has this id.
        CorruptInputError: The input cannot be decompressed.
    """
    runtime.apps.get(app_id)
    summary = ImportSummary()
    waiting: list[Batch] = []
    unflushed = 0
    for number, line in enumerate(lines, start=1):
        summary.bytes += len(line)
        batch = _decoded(runtime, line, number, summary, on_refused)
        if batch is not None:
            waiting.append(batch)
        if len(waiting) == IMPORT_BATCHES_PER_TRANSACTION:
            unflushed += _accept(runtime, app_id, waiting, summary)
            if unflushed >= runtime.settings.flush_logs_max:
                runtime.flush.flush(app_id)
                unflushed = 0
            on_progress(summary)
    _accept(runtime, app_id, waiting, summary)
    runtime.flush.flush(app_id)
    on_progress(summary)
    return summary


def _decoded(
    runtime: Runtime,
    line: bytes,
    number: int,
    summary: ImportSummary,
    on_refused: Callable[[RefusedLog], None],
) -> Batch | None:
    batch = None
    try:
        batch = decode_batch(line, received_at=runtime.clock(), live=False)
        refusals = [
            RefusedLog(line=number, index=one.index, code=one.code, message=one.message)
            for one in batch.refused
        ]
    except CorruptInputError as error:
        refusals = [RefusedLog(line=number, index=None, code=error.code, message=str(error))]
    for refusal in refusals:
        summary.refused[refusal.code] = summary.refused.get(refusal.code, 0) + 1
        on_refused(refusal)
    return batch


def _accept(runtime: Runtime, app_id: str, waiting: list[Batch], summary: ImportSummary) -> int:
    """Accept what waits in one transaction; how many logs were new."""
    before = summary.accepted
    fresh = accept(runtime.inbox, app_id, waiting, received_at=runtime.clock())
    for batch, is_new in zip(waiting, fresh, strict=True):
        summary.batches += is_new
        summary.duplicates += not is_new
        summary.accepted += batch.accepted if is_new else 0
    waiting.clear()
    return summary.accepted - before


def create_export(runtime: Runtime, request: ExportRequest) -> ExportTask:
    """A queued task; it runs where the workers are, and goes on after any crash.

    Raises:
        UnknownAppError: No app has this id.
        InvalidContainerError: The container URL cannot work.
        DestinationError: The container refuses a write now.
    """
    runtime.apps.get(request.app_id)
    url = parse_container_url(request.container_url, runtime.policy, now=runtime.clock())
    runtime.destination(request.container_url).check()
    task_id = new_guid()
    task = ExportTask(
        task_id=task_id,
        app_id=request.app_id,
        export_type=request.export_type,
        export_format=request.export_format,
        compression=request.compression,
        state=ExportState.QUEUED,
        container=url.redacted,
        folder=manifest.folder(request.export_type, task_id),
        description=request.description,
        created_at=runtime.clock(),
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
        progress=Progress(),
        attempt=1,
    )
    sealed = runtime.vault.seal(request.container_url, context=task_id)
    runtime.tasks.add(task, request=encode_request(request), sealed_container_url=sealed)
    if runtime.has_workers:
        runtime.submit(task_id)
    return task


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


def cancel_export(runtime: Runtime, task_id: str) -> ExportTask:
    """The task after the request: cancelled if it was waiting, else soon.

    Raises:
        UnknownTaskError: There is none.
        IllegalStateError: It has ended.
    """
    if not runtime.tasks.cancel(task_id, now=runtime.clock()):
        state = get_export(runtime, task_id).state
        raise IllegalStateError(f"Only a task that has not ended can be cancelled, got {state}.")
    return get_export(runtime, task_id)


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
    sealed = runtime.vault.seal(container_url, context=task_id)
    if runtime.tasks.reopen(task_id, sealed_container_url=sealed) and runtime.has_workers:
        runtime.submit(task_id)
    return get_export(runtime, task_id)


def wait_export(
    runtime: Runtime,
    task_id: str,
    *,
    on_progress: Callable[[ExportTask], None] = lambda _: None,
    timeout_seconds: float | None = None,
) -> ExportTask:
    """The task when it has ended, or as it is when the time is over."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        task = get_export(runtime, task_id)
        on_progress(task)
        if task.state.is_final or (deadline is not None and time.monotonic() >= deadline):
            return task
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
        kept = runtime.tasks.plan(delivered.task_id)
    except UnknownTaskError:
        return verification
    if kept is None:
        return verification
    request = decode_request(runtime.tasks.request(delivered.task_id), container_url=container_url)
    verify_with_lake(runtime.lake, request, decode_plan(kept), delivered)
    return replace(verification, compared_with_lake=True)


def compact(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Gather the small files of each day of an app's history into sorted ones."""
    return _upkeep(runtime, app_id).compact(app_id)


def fold_snapshots(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Fold the changes of devices, tags, tokens and feedback that are older than some days."""
    keep_days = runtime.settings.fold_days_min
    return _upkeep(runtime, app_id).fold_snapshots(app_id, keep_days=keep_days)


def vacuum(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Delete files that no table refers to and no running export may read.

    Batch ids and opened sessions that are older than they are needed are forgotten as well.
    """
    old = runtime.clock() - timedelta(days=runtime.settings.batch_dedup_days)
    runtime.inbox.forget_batches(old)
    runtime.inbox.forget_sessions(old)
    return _upkeep(runtime, app_id).vacuum(app_id, days_min=runtime.settings.vacuum_days_min)


def retain(runtime: Runtime, app_id: str, days: int) -> UpkeepReport:
    """Take the days of an app's history out that are older than some days."""
    return _upkeep(runtime, app_id).retain(app_id, days=days)


def erase_device(runtime: Runtime, app_id: str, device_id: str) -> UpkeepReport:
    """Take every row of a device out of an app's tables, and out of its inbox first."""
    upkeep = _upkeep(runtime, app_id)
    runtime.flush.flush(app_id)
    return upkeep.erase(app_id, guid(device_id, "device"))


def _upkeep(runtime: Runtime, app_id: str) -> Upkeep:
    runtime.apps.get(app_id)
    return Upkeep(runtime.inbox, runtime.tasks, runtime.lake, clock=runtime.clock)
