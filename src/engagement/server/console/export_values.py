"""What pages show of an export task that moves: as a page shows it, and as a stream tells it."""

from typing import Any

from engagement.model.export_tasks import ExportTask
from engagement.server.console import formats


def describe_progress(task: ExportTask) -> dict[str, Any]:
    """Return what changes while a task runs, each as the text that a page shows."""
    progress = task.progress
    return {
        "state": task.state.value,
        "percent": formats.percent(progress.rows_done, progress.rows_total),
        "progress": _progress(task),
        "rows": formats.format_count(progress.rows_done),
        "parts": f"{progress.parts_done:,} of {progress.parts_total:,}",
        "size": formats.format_bytes(progress.bytes_done),
        "rate": formats.format_rate(progress.rows_per_second),
        "left": formats.format_duration(progress.seconds_left),
    }


def _progress(task: ExportTask) -> str:
    progress = task.progress
    if not progress.parts_total:
        return "Planning: no parts yet" if not task.state.is_final else "No parts"
    return (
        f"{progress.parts_done:,} of {progress.parts_total:,} parts · "
        f"{progress.rows_done:,} of {progress.rows_total:,} rows · "
        f"{formats.percent(progress.rows_done, progress.rows_total)} %"
    )
