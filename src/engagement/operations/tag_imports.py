"""The operations on imports of tags from blobs."""

import re

from engagement.exceptions import BadInputError, UnknownTaskError
from engagement.model.audit import Action
from engagement.model.choices import parse_order
from engagement.model.records import new_guid
from engagement.model.tag_imports import (
    ImportOrder,
    ImportPage,
    ImportProperty,
    ImportState,
    ImportTask,
)
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime

IMPORT_TASKS_PER_PAGE = 20
IMPORT_TASKS_PER_PAGE_MAX = 40
SKIP_MAX = 2**31 - 1
_TASK_ID = re.compile(r"[0-9a-f]{32}")


def create_import_task(runtime: Runtime, app_id: str, *, storage_url: str) -> ImportTask:
    """A queued task, which goes on after any crash; its tags count from now.

    Args:
        runtime: The service.
        app_id: The app whose devices are tagged.
        storage_url: Of a blob with a SAS that may read. It holds a JSON object of tags by device
            id, or several of them one after another.

    Raises:
        UnknownAppError: No app has this id.
        InvalidContainerError: The URL cannot work or may not be used.
        TooManyTasksError: The app has as many unfinished imports as it may.
    """
    runtime.apps.get(app_id)
    now = runtime.clock()
    url, key = runtime.parse_import_url(app_id, storage_url)
    task_id = new_guid()
    task = ImportTask(
        task_id=task_id,
        app_id=app_id,
        state=ImportState.QUEUED,
        storage=f"{url.redacted.rstrip('/')}/{key}",
        created_at=now,
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
    )
    subject = f"import {task_id} from {task.storage}"
    record_change(runtime, Action.TAGS_IMPORT, app_id=app_id, subject=subject)
    sealed = runtime.task_vault.seal(storage_url, context=task_id)
    runtime.imports.add(task, sealed_storage_url=sealed)
    if runtime.runner is not None:
        runtime.runner.start_import(task)
    return task


def get_import_task(runtime: Runtime, app_id: str, task_id: str) -> ImportTask:
    """The app's task with this id.

    Raises:
        UnknownAppError: No app has this id.
        UnknownTaskError: The app has no such task.
    """
    runtime.apps.get(app_id)
    if _TASK_ID.fullmatch(task_id) is None:  # a database may not even take such a text
        raise UnknownTaskError(f"The app has no import task with the id {task_id[:60]!r}.")
    return runtime.imports.get(app_id, task_id)


def list_import_tasks(
    runtime: Runtime,
    app_id: str,
    *,
    skip: int = 0,
    top: int = IMPORT_TASKS_PER_PAGE,
    order_by: str | None = None,
) -> ImportPage:
    """Some of the app's tasks.

    Args:
        runtime: The service.
        app_id: The app.
        skip: How many to leave out.
        top: How many to show at most, 1 to 40.
        order_by: The contract's `$orderby`; by id if absent.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: One of the options cannot be.
    """
    runtime.apps.get(app_id)
    if not 0 <= skip <= SKIP_MAX:
        raise BadInputError(f"$skip must be 0 to {SKIP_MAX}, got {skip}.")
    if not 1 <= top <= IMPORT_TASKS_PER_PAGE_MAX:
        raise BadInputError(f"$top must be 1 to {IMPORT_TASKS_PER_PAGE_MAX}, got {top}.")
    by, descending = parse_order(ImportProperty, order_by)
    order = ImportOrder(by=by, descending=descending)
    return runtime.imports.list_page(app_id, skip=skip, top=top, order=order)
