"""What both versions of the export operations share."""

from engagement import operations
from engagement.exceptions import UnknownTaskError
from engagement.model.apps import App
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.server.dependencies import APP_PATH, Context, resource_address
from engagement.server.management.odata import next_page

TASKS_PATH = f"{APP_PATH}/devices/exportTasks"


def task_of(context: Context, app: App, task_id: str) -> ExportTask:
    """Return the task, if it belongs to the app.

    Raises:
        UnknownTaskError: It does not, or there is none.
    """
    try:
        task = operations.get_export(context.runtime, task_id)
    except UnknownTaskError:
        task = None
    if task is None or task.app_id != app.app_id:
        raise UnknownTaskError("The app has no export task with this id.")
    return task


def list_page(
    context: Context, app: App, page: TaskPage, *, version: str
) -> tuple[list[ExportTask], str | None]:
    """Return a page of the app's tasks, and the address of the next page if there is one."""
    found = operations.list_exports_page(context.runtime, app.app_id, page)
    if len(found) <= page.top:
        return found, None
    query = {"api-version": version, **next_page(page)}
    return found[: page.top], resource_address(context, app, "devices/exportTasks", query)
