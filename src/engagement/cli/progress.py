"""Follows an export task to its end, whoever runs it, and shows how far it is."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engagement.cli.exit_statuses import EXIT_FAILURE
from engagement.cli.opening import open_service
from engagement.cli.output import (
    ExplainedInterrupt,
    byte_count,
    print_error,
    print_fields,
    print_interruption,
    print_json,
    print_note,
    progress_console,
)
from engagement.exceptions import ErrorCode, HomeBusyError
from engagement.model.export_options import body_of
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState
from engagement.model.instants import format_rfc3339
from engagement.model.text import to_camel_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engagement.runtime.opening import Runtime

NEEDS_NEW_CREDENTIAL = frozenset(
    {
        ErrorCode.SAS_EXPIRED,
        ErrorCode.SAS_NOT_YET_VALID,
        ErrorCode.SAS_INVALID_SIGNATURE,
        ErrorCode.SAS_PERMISSION_MISSING,
    }
)
WAIT_COMMAND = "engagement export wait"
BESIDE_SECONDS_MAX = 1.0
"""How long a task is watched beside another process before this one offers to run it."""


def follow_here(runtime: "Runtime", task_id: str, *, as_json: bool) -> ExportTask:
    """Return the task when it has ended, in a process whose workers run it."""
    from engagement import operations

    with show_progress(task_id, again=f"{WAIT_COMMAND} {task_id}", as_json=as_json) as show:
        return operations.wait_export(runtime, task_id, on_progress=show)


def follow_anywhere(task_id: str, *, timeout_seconds: float | None, as_json: bool) -> ExportTask:
    """Return the task when it has ended or the time is over.

    If no other process runs on the home folder this one does, so a task that a crash or a Ctrl-C
    left goes on; else the task is watched.
    """
    from engagement import operations

    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    with show_progress(task_id, again=f"{WAIT_COMMAND} {task_id}", as_json=as_json) as show:
        while True:
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                with open_service(run_tasks=True) as runtime:
                    return operations.wait_export(
                        runtime, task_id, on_progress=show, timeout_seconds=seconds
                    )
            except HomeBusyError:
                beside = min(BESIDE_SECONDS_MAX, BESIDE_SECONDS_MAX if seconds is None else seconds)
                with open_service(run_tasks=False) as runtime:
                    task = operations.wait_export(
                        runtime, task_id, on_progress=show, timeout_seconds=beside
                    )
                if task.state.is_final or (deadline is not None and time.monotonic() >= deadline):
                    return task


@contextmanager
def show_progress(
    task_id: str, *, again: str, as_json: bool
) -> "Iterator[Callable[[ExportTask], None]]":
    """Show how far a task is while it is waited for; takes the task at each look.

    Args:
        task_id: The task.
        again: The command that goes on after an interruption.
        as_json: Whether standard output is for a program, so that nothing is drawn.
    """
    console = progress_console(as_json=as_json)
    try:
        if console is None:
            yield lambda _: None
            return
        with _bar(console) as bar:
            line = bar.add_task("export", total=None, state="", counts="")
            yield lambda task: bar.update(
                line,
                total=_total(task),
                completed=task.progress.rows_done,
                state=_stage(task),
                counts=_counts(task),
            )
    except KeyboardInterrupt:
        print_interruption(
            f"the task {task_id} remains; go on with: {again}",
            as_json=as_json,
            task_id=task_id,
        )
        raise ExplainedInterrupt from None


def print_task(task: ExportTask, *, as_json: bool) -> None:
    """Print all that is known of a task."""
    if as_json:
        print_json(task_fields(task))
        return
    done = task.progress
    values = [
        ("task id", task.task_id),
        ("export", f"{task.export_type} as {task.export_format}, compression {task.compression}"),
        *_selection(task),
        ("state", task.state.value),
        ("container", task.container),
        ("folder", task.folder),
        ("parts", f"{done.parts_done:,} of {done.parts_total:,}"),
        ("rows", f"{done.rows_done:,} of {done.rows_total:,}"),
        ("size", byte_count(done.bytes_done)),
        ("created", format_rfc3339(task.created_at)),
    ]
    if task.completed_at is not None:
        values.append(("completed", format_rfc3339(task.completed_at)))
    if task.error_code is not None:
        values.append(("error", f"[{task.error_code}] {task.error_details}"))
    print_fields(values)


def task_fields(task: ExportTask) -> dict[str, object]:
    """Return all that is known of a task; what was asked has the names that it has over HTTP."""
    kept = {field.name: getattr(task, field.name) for field in fields(task)}
    del kept["request"]
    return {
        "taskId": task.task_id,
        "appId": task.app_id,
        "exportType": task.export_type,
        "description": task.description,
        **body_of(task.request),
        "publishedContract": task.request.published_contract,
        **{to_camel_case(name): value for name, value in kept.items()},
    }


def _selection(task: ExportTask) -> list[tuple[str, str]]:
    """What was asked beside the type and the format, as a person reads it."""
    selected = body_of(task.request)
    switches = [name for name, is_on in selected.pop("exportOptions").items() if is_on]
    values = [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in selected.items()
        if name not in {"exportFormat", "compression"}
    ]
    values.append(("options", ", ".join(switches) or "none"))
    if task.request.published_contract:
        values.append(("contract", "2014-12-01"))
    return values


def conclude(task: ExportTask, *, retry: str, as_json: bool) -> None:
    """Print a task that was waited for, and why it failed or was cancelled if it did.

    Args:
        task: The task.
        retry: The command that runs it again.
        as_json: Whether the output is for a program.

    Raises:
        typer.Exit: It did, which is a failure of the command whatever the task's code is: the
            request was good when it was accepted.
    """
    print_task(task, as_json=as_json)
    error = task.error
    if error is not None:
        print_error(error.code, str(error), as_json=as_json)
        if error.code in NEEDS_NEW_CREDENTIAL and not as_json:
            print_note(f"Delivered parts stay; to go on with a new SAS: {retry}")
        raise typer.Exit(EXIT_FAILURE)


def _bar(console: object) -> Progress:
    return Progress(
        TextColumn("{task.fields[state]:>9}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        console=console,  # type: ignore[arg-type]
        transient=True,
    )


def _stage(task: ExportTask) -> str:
    """The state, in which planning is told from writing."""
    is_planning = task.state is ExportState.STARTED and not task.progress.parts_total
    return "Planning" if is_planning else task.state.value


def _total(task: ExportTask) -> int | None:
    """How many rows there are; None while that is not known, when the bar only moves."""
    return None if not task.progress.parts_total else task.progress.rows_total


def _counts(task: ExportTask) -> str:
    done = task.progress
    if not done.parts_total:
        return "counting what is to be exported" if task.state is ExportState.STARTED else ""
    words = [
        f"{done.rows_done:,} of {done.rows_total:,} rows",
        f"{done.parts_done:,} of {done.parts_total:,} parts",
        byte_count(done.bytes_done),
    ]
    if done.rows_per_second is not None:
        words.append(f"{done.rows_per_second:,.0f} rows/s")
    if done.seconds_left is not None:
        words.append(f"{done.seconds_left:,.0f} s left")
    return " · ".join(words)
