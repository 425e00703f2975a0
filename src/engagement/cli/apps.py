"""The commands about apps."""

from typing import Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, plain, print_fields, print_json, print_note, print_table
from engagement.model.apps import App

app = typer.Typer(help="Register apps and list them.", no_args_is_help=True)


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


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List every app, oldest first."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        found = operations.list_apps(runtime)
    if as_json:
        print_json([_describe(app) for app in found])
        return
    rows = [(app.app_id, app.name, app.collection, app.resource_group) for app in found]
    print_table("Apps", ("app id", "name", "collection", "resource group"), rows)


def _describe(app: App) -> dict[str, object]:
    described = plain(app)
    if not isinstance(described, dict):
        raise TypeError(f"An app must become a mapping, got {type(described).__name__}.")
    return {**described, "resourcePath": app.resource_path}
