"""Says in the log how each export ended, in one line."""

import structlog

from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.telemetry import record_span

_log = structlog.get_logger()


def log_ended(task: ExportTask) -> None:
    """Log a task that has just ended: as an error where somebody is needed."""
    started_at, completed_at = task.started_at, task.completed_at
    seconds = None
    if started_at is not None and completed_at is not None:
        seconds = round((completed_at - started_at).total_seconds(), 3)
    code = None if task.error_code is None else task.error_code.value
    found: dict[str, str | int] = {
        "type": task.export_type.value,
        "state": task.state.value,
        "rows": task.progress.rows_done,
        "bytes": task.progress.bytes_done,
    }
    failed = task.state is ExportState.FAILED
    record_span(
        "export",
        seconds=seconds or 0.0,
        failed=failed,
        app=task.app_id,
        task=task.task_id,
        **found,
        error_type=code,
    )
    write = _log.error if failed else _log.info
    write(
        "export_ended",
        app=task.app_id,
        task_id=task.task_id,
        **found,
        seconds=seconds,
        attempt=task.attempt,
        code=code,
    )
