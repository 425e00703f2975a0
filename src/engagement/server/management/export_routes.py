"""What both versions of the export operations share."""

from engagement import operations
from engagement.exceptions import UnknownTaskError
from engagement.model.apps import App
from engagement.model.export_tasks import ExportTask
from engagement.server.dependencies import APP_PATH, Context

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
