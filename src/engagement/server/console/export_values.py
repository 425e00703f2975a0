"""What pages show of an export task that moves: as a page shows it, and as a stream tells it."""

from collections.abc import Mapping
from typing import Any

from engagement import operations
from engagement.exceptions import UnknownTaskError
from engagement.model.export_tasks import ExportTask
from engagement.runtime.opening import Runtime
from engagement.server.console import formats

TOPIC = "export:"


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


def read_exports(runtime: Runtime, topics: frozenset[str]) -> Mapping[str, Any]:
    """Return what the topics of tasks hold now; those that are gone are left out."""
    values = {}
    for topic in topics:
        if topic.startswith(TOPIC):
            try:
                task = operations.get_export(runtime, topic.removeprefix(TOPIC))
            except UnknownTaskError:
                continue
            values[topic] = describe_progress(task)
    return values


def _progress(task: ExportTask) -> str:
    progress = task.progress
    if not progress.parts_total:
        return "Planning: no parts yet" if not task.state.is_final else "No parts"
    return (
        f"{progress.parts_done:,} of {progress.parts_total:,} parts · "
        f"{progress.rows_done:,} of {progress.rows_total:,} rows · "
        f"{formats.percent(progress.rows_done, progress.rows_total)} %"
    )
