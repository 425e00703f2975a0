"""The commands about export tasks."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from engagement.cli.arguments import AppName, TaskId, container_url
from engagement.cli.backends import Backend, choose_backend
from engagement.cli.estimates import estimate
from engagement.cli.exit_statuses import EXIT_NOT_ENDED
from engagement.cli.export_options import TypeName, with_export_options
from engagement.cli.output import (
    AsJson,
    print_json,
    print_note,
    print_table,
    short_instant,
)
from engagement.cli.profiles import ProfileName, ServerAddress
from engagement.cli.progress import conclude, print_task, task_fields
from engagement.model.export_options import ExportOptions, request_of
from engagement.model.export_tasks import ExportTask

TASKS_LISTED = 50

app = typer.Typer(help="Create export tasks and look after them.", no_args_is_help=True)

Container = Annotated[
    str | None,
    typer.Option(
        "--container",
        metavar="URL",
        help="Container URL with its SAS, s3://, gs:// or a folder; - reads it from stdin.",
    ),
]
ContainerFile = Annotated[
    Path | None,
    typer.Option("--container-file", metavar="PATH", help="A file whose first line is the URL."),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Only create the task; do not run it.")]


def create(
    export_type: TypeName,
    app_id: AppName,
    options: ExportOptions,
    container: Container = None,
    container_file: ContainerFile = None,
    no_wait: NoWait = False,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Create an export task and run it to its end.

    Days mean whole UTC days, both included; date-times are half-open. Interrupted, the task
    remains, and `engagement export wait` goes on with it.
    """
    # What was asked is checked first: that takes no look at a file or a terminal.
    request = request_of(app_id, export_type, "", options)
    request = replace(request, container_url=container_url(container, container_file))
    backend = choose_backend(server, profile)
    task = backend.create(request, follow=not no_wait, as_json=as_json)
    _conclude(backend, task, no_wait=no_wait, as_json=as_json)


app.command("create")(with_export_options(create))
app.command("estimate")(with_export_options(estimate, without={"description"}))


@app.command("list")
def list_newest(
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Only the tasks of this app.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = TASKS_LISTED,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """List the newest export tasks, newest first."""
    found = choose_backend(server, profile).newest(app_id, limit)
    if as_json:
        print_json([task_fields(task) for task in found])
        return
    rows = [
        (
            task.task_id,
            task.export_type.value,
            task.state.value,
            f"{task.progress.rows_done:,}",
            short_instant(task.created_at),
        )
        for task in found
    ]
    print_table("Export tasks", ("#task id", "type", "state", ">rows", "created (UTC)"), rows)


@app.command("show")
def show(
    task_id: TaskId,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show one export task and how far it is."""
    print_task(choose_backend(server, profile).get(task_id), as_json=as_json)


@app.command("wait")
def wait(
    task_id: TaskId,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Give up waiting after this.")
    ] = None,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Wait for an export task, running it here if nobody else does.

    Exits with 4 when the time is over before the task has ended.
    """
    backend = choose_backend(server, profile)
    task = backend.wait(task_id, timeout_seconds=timeout, as_json=as_json)
    conclude(task, retry=_retry_command(backend, task), as_json=as_json)
    if not task.state.is_final:
        raise typer.Exit(EXIT_NOT_ENDED)


@app.command("cancel")
def cancel(
    task_id: TaskId,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an export task; a running one stops soon, delivered parts stay."""
    backend = choose_backend(server, profile)
    task = backend.cancel(task_id)
    print_task(task, as_json=as_json)
    if not task.state.is_final:
        print_note(f"It stops soon; to see it end: {backend.command(f'export wait {task_id}')}")


@app.command("retry")
def retry(
    task_id: TaskId,
    container: Container = None,
    container_file: ContainerFile = None,
    no_wait: NoWait = False,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Run a failed or cancelled task again with a new SAS; delivered parts stay delivered."""
    backend = choose_backend(server, profile)
    url = container_url(container, container_file)
    task = backend.retry(task_id, url, follow=not no_wait, as_json=as_json)
    _conclude(backend, task, no_wait=no_wait, as_json=as_json)


def _conclude(backend: Backend, task: ExportTask, *, no_wait: bool, as_json: bool) -> None:
    if no_wait:
        again = backend.command(f"export wait {task.task_id}")
        print_note(f"The task is queued; to wait for it: {again}")
    conclude(task, retry=_retry_command(backend, task), as_json=as_json)


def _retry_command(backend: Backend, task: ExportTask) -> str:
    return backend.command(f"export retry {task.task_id} --container -")
