"""The commands that keep the lake small, quick and within its promises."""

from pathlib import Path
from typing import Annotated

import typer

from engagement.cli.arguments import AppName
from engagement.cli.exit_statuses import EXIT_FAILURE
from engagement.cli.opening import open_or_reach_service, open_service
from engagement.cli.output import AsJson, print_fields, print_json, print_note
from engagement.exceptions import BadInputError
from engagement.model.records import Kind
from engagement.model.text import to_camel_case

app = typer.Typer(
    help="Compact, fold, vacuum, retain and erase; check and repair.", no_args_is_help=True
)


@app.command("compact")
def compact(app_id: AppName, as_json: AsJson = False) -> None:
    """Gather the small files of each day into sorted ones; no row changes."""
    _do("compact", {"app_id": app_id}, as_json=as_json)


@app.command("fold")
def fold(app_id: AppName, as_json: AsJson = False) -> None:
    """Fold old changes of devices, tags, tokens and feedback into their latest state."""
    _do("fold", {"app_id": app_id}, as_json=as_json)


@app.command("vacuum")
def vacuum(app_id: AppName, as_json: AsJson = False) -> None:
    """Delete files that no table refers to, keeping those that a running export may read."""
    _do("vacuum", {"app_id": app_id}, as_json=as_json)


@app.command("retain")
def retain(
    app_id: AppName,
    days: Annotated[int, typer.Option(help="Days of history to keep.")],
    as_json: AsJson = False,
) -> None:
    """Take the history out that is older than some days."""
    _do("retain", {"app_id": app_id, "days": str(days)}, as_json=as_json)


@app.command("erase")
def erase(
    app_id: AppName,
    device_id: Annotated[
        str | None, typer.Argument(metavar="[DEVICE_ID]", help="The device.")
    ] = None,
    user_id: Annotated[
        str | None,
        typer.Option("--user", metavar="USER_ID", help="A user, all of whose devices are meant."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a device, or all devices of a user, out of everything that is kept."""
    if device_id is not None and user_id is None:
        meant = {"device_id": device_id}
    elif user_id is not None and device_id is None:
        meant = {"user_id": user_id}
    else:
        raise BadInputError("Name either a device or, with --user, a user to erase.")
    _do("erase", {"app_id": app_id, **meant}, as_json=as_json)


@app.command("check")
def check(
    app_id: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="One app only, by its name or id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every file of the lake and name the tables that are damaged; nothing is changed."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        meant = None if app_id is None else operations.find_named_app(runtime, app_id).app_id
        found = operations.check_lake(runtime, meant)
    if as_json:
        print_json(found)
    else:
        print_fields([("tables", str(found.tables)), ("damaged", str(len(found.damaged)))])
        for table in found.damaged:
            print_note(f"{table.app_id} {table.kind.value}: {table.damage}")
    if found.damaged:
        raise typer.Exit(EXIT_FAILURE)


@app.command("repair")
def repair(
    app_id: AppName,
    kind: Annotated[Kind, typer.Option(help="The kind of the table.")],
    give_up: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A damaged file to take out, with its rows."),
    ] = None,
    from_export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A delivered export to restore the rows from."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept less than the damaged files held.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a table into use again: its files brought back, restored from an export, or given up."""
    from engagement import operations

    if from_export is None and partial:
        raise BadInputError("--partial is for --from-export, got it alone.")
    if from_export is not None and give_up:
        raise BadInputError("Give either --from-export or --give-up, got both.")
    restored, given_up = None, []
    with open_service(run_tasks=True) as runtime:
        app_id = operations.find_named_app(runtime, app_id).app_id
        if from_export is not None:
            restored = operations.restore_table(
                runtime, app_id, kind, folder=from_export, is_partial=partial
            )
        else:
            given_up = operations.repair_table(runtime, app_id, kind, give_up=give_up or [])
    if as_json:
        print_json({"appId": app_id, "kind": kind, "givenUp": given_up, "restored": restored})
        return
    print_note(f"The {kind.value} table of app {app_id} is sound.")
    for file in given_up:
        print_note(f"given up: {file.rows} rows of {file.path}")
    if restored is not None:
        for day in restored.days:
            print_note(f"restored: {day.rows} rows of {day.day}, {day.rows_lost} are lost")
        if restored.lacking:
            print_note(f"restored without: {', '.join(restored.lacking)}")


def _do(name: str, arguments: dict[str, str], *, as_json: bool) -> None:
    from engagement import operations

    with open_or_reach_service() as runtime:
        arguments["app_id"] = operations.find_named_app(runtime, arguments["app_id"]).app_id
        counts = operations.request_upkeep(runtime, name, arguments)
    described: dict[str, object] = {"operation": name, "appId": arguments["app_id"]}
    described |= {to_camel_case(count): number for count, number in counts.items()}
    if as_json:
        print_json(described)
    else:
        print_fields([(key, str(value)) for key, value in described.items()])
