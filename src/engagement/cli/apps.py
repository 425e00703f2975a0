"""The commands about apps: register them, list them, say how long their history is kept."""

from typing import Annotated

import typer

from engagement.cli import app_keys
from engagement.cli.arguments import AppArgument
from engagement.cli.opening import open_or_reach_service, open_service
from engagement.cli.output import AsJson, plain, print_fields, print_json, print_note, print_table
from engagement.exceptions import BadInputError
from engagement.model.apps import App

app = typer.Typer(help="Register, list, rename and delete apps; their keys.", no_args_is_help=True)
app.add_typer(app_keys.app, name="keys")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The app's name.")],
    collection: Annotated[str, typer.Option(help="The app collection it belongs to.")],
    resource_group: Annotated[str, typer.Option(help="The collection's resource group.")],
    subscription: Annotated[str, typer.Option(help="The collection's subscription.")],
    as_json: AsJson = False,
) -> None:
    """Register an app; its key is shown this once."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        made = operations.create_app(
            runtime,
            name=name,
            collection=collection,
            resource_group=resource_group,
            subscription=subscription,
        )
    if as_json:
        print_json({**_describe(made.app), "appKey": made.app_key})
        return
    print_fields(
        [
            ("app id", made.app.app_id),
            ("app key", made.app_key),
            ("resource path", made.app.resource_path),
        ]
    )
    print_note("Keep the app key: only a hash of it is stored.")


@app.command("rename")
def rename(
    app_name: AppArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")],
    as_json: AsJson = False,
) -> None:
    """Give an app another name, and so another resource path."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = operations.find_named_app(runtime, app_name)
        renamed = operations.rename_app(runtime, owner.app_id, name=name)
    if as_json:
        print_json(_describe(renamed))
    else:
        print_note(f"The app {owner.name} is now {renamed.name}: {renamed.resource_path}")


@app.command("delete")
def delete(
    app_name: AppArgument,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The app's name; without it you are asked for it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete an app with its keys, tasks, refused records and tables, for good."""
    from engagement import operations

    with open_or_reach_service() as runtime:
        owner = operations.find_named_app(runtime, app_name)
        if confirm is None:
            print_note(f"All data of {owner.resource_path} will be gone, for good.")
            confirm = typer.prompt("The app's name, to confirm", err=True)
        report = operations.delete_app(runtime, owner.app_id, confirm=confirm)
    if as_json:
        print_json({**_describe(owner), "rows": report.rows, "unfinished": report.unfinished})
    elif report.unfinished:
        print_note(f"The app {owner.name} is deleted; its data goes when its tasks have ended.")
    else:
        print_note(f"The app {owner.name} is deleted with all its data.")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List every app, oldest first."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        found = operations.list_apps(runtime)
    if as_json:
        print_json([_describe(app) for app in found])
        return
    rows = [
        (app.app_id, app.name, app.collection, app.resource_group, _keeps(app)) for app in found
    ]
    print_table("Apps", ("#app id", "name", "collection", "resource group", "history"), rows)


@app.command("retention")
def retention(
    app_name: AppArgument,
    days: Annotated[
        int | None, typer.Option(metavar="N", help="Days of history to keep from now on.")
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="Keep all history from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show or set how many days of an app's history are kept; a server sees to it daily."""
    from engagement import operations

    if days is not None and keep_all:
        raise BadInputError("Give either --days or --keep-all, got both.")
    with open_service(run_tasks=False) as runtime:
        found = operations.find_named_app(runtime, app_name)
        if days is not None or keep_all:
            found = operations.set_retention(runtime, found.app_id, days)
    if as_json:
        print_json(_describe(found))
        return
    print_fields([("app id", found.app_id), ("history", _keeps(found))])


def _keeps(app: App) -> str:
    return "all" if app.retention_days is None else f"{app.retention_days} days"


def _describe(app: App) -> dict[str, object]:
    described = plain(app)
    if not isinstance(described, dict):
        raise TypeError(f"An app must become a mapping, got {type(described).__name__}.")
    return {**described, "resourcePath": app.resource_path}
