"""The commands that keep the lake small, quick and within its promises."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from engagement.cli.arguments import AppId
from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, plain, print_fields, print_json
from engagement.model.text import to_camel_case

if TYPE_CHECKING:
    from engagement.runtime.opening import Runtime

app = typer.Typer(help="Compact, fold, vacuum, retain and erase.", no_args_is_help=True)


@app.command("compact")
def compact(app_id: AppId, as_json: AsJson = False) -> None:
    """Gather the small files of each day into sorted ones; no row changes."""
    from engagement import operations

    _do("compact", app_id, lambda runtime: operations.compact(runtime, app_id), as_json=as_json)


@app.command("fold")
def fold(app_id: AppId, as_json: AsJson = False) -> None:
    """Fold old changes of devices, tags, tokens and feedback into their latest state."""
    from engagement import operations

    _do("fold", app_id, lambda runtime: operations.fold_snapshots(runtime, app_id), as_json=as_json)


@app.command("vacuum")
def vacuum(app_id: AppId, as_json: AsJson = False) -> None:
    """Delete files that no table refers to, keeping those that a running export may read."""
    from engagement import operations

    _do("vacuum", app_id, lambda runtime: operations.vacuum(runtime, app_id), as_json=as_json)


@app.command("retain")
def retain(
    app_id: AppId,
    days: Annotated[int, typer.Option(min=1, help="Days of history to keep.")],
    as_json: AsJson = False,
) -> None:
    """Take the history out that is older than some days."""
    from engagement import operations

    _do("retain", app_id, lambda runtime: operations.retain(runtime, app_id, days), as_json=as_json)


@app.command("erase")
def erase(
    device_id: Annotated[str, typer.Argument(metavar="DEVICE_ID", help="The device.")],
    app_id: AppId,
    as_json: AsJson = False,
) -> None:
    """Take every record of one device out of every table."""
    from engagement import operations

    _do(
        "erase",
        app_id,
        lambda runtime: operations.erase_device(runtime, app_id, device_id),
        as_json=as_json,
    )


def _do(name: str, app_id: str, work: Callable[["Runtime"], object], *, as_json: bool) -> None:
    with open_service(run_tasks=True) as runtime:
        report = plain(work(runtime))
    counts = report if isinstance(report, dict) else {}
    described = {"operation": name, "appId": app_id, **counts}
    if as_json:
        print_json(described)
    else:
        print_fields([(to_camel_case(key), str(value)) for key, value in described.items()])
