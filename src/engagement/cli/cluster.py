"""The commands about the processes of a cluster, and its schema."""

from typing import Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, print_json, print_note, print_table

app = typer.Typer(help="Look at the processes of a cluster, and drain one.", no_args_is_help=True)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show which processes live, what each does, and how far each app's batches are behind."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        found = operations.read_cluster_status(runtime)
    if as_json:
        print_json(found)
        return
    print_table(
        "Processes",
        ("id", "roles", "release", ">silent s", ">running", "state"),
        [
            (
                each.executor.executor_id,
                ",".join(each.executor.roles),
                each.executor.version,
                f"{each.executor.silent_seconds:.1f}",
                str(each.workflows_running),
                each.state,
            )
            for each in found.executors
        ],
    )
    print_table(
        "Apps that are behind",
        ("app id", ">logs in inbox", ">oldest s", ">files staged"),
        [
            (lag.app_id, str(lag.logs), f"{lag.oldest_seconds:.1f}", str(lag.groups_staged))
            for lag in found.lags
        ],
    )


@app.command("drain")
def drain(
    executor_id: Annotated[str, typer.Argument(metavar="ID", help="Which process.")],
    as_json: AsJson = False,
) -> None:
    """Ask a process to end as soon as the work that it has begun is done or handed over."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        operations.drain_executor(runtime, executor_id)
    if as_json:
        print_json({"executorId": executor_id})
    else:
        print_note("Asked. It ends within seconds, or when the exports that it runs have ended.")


def migrate(as_json: AsJson = False) -> None:
    """Bring the state database forward to this release's schema, whoever else starts meanwhile."""
    from engagement.runtime.migrating import migrate_state
    from engagement.settings import Settings

    schema = migrate_state(Settings.from_environment())
    if as_json:
        print_json({"schema": schema})
    else:
        print_note(f"The state database has schema {schema}.")
