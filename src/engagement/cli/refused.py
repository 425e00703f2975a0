"""The commands about refused records: look, count, replay, drop."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from engagement.cli.opening import open_service
from engagement.cli.output import (
    AsJson,
    byte_count,
    plain,
    print_fields,
    print_json,
    print_note,
    print_table,
    progress_console,
    short_instant,
)
from engagement.exceptions import BadInputError, UnknownProtocolError
from engagement.model.choices import parse_choice
from engagement.model.refused import RefusedFilter, SenderProtocol

if TYPE_CHECKING:
    from engagement.operations import ReplaySummary
    from engagement.runtime.opening import Runtime

ID_MAX = 2**63 - 1

app = typer.Typer(help="List, count, show, replay and drop refused records.", no_args_is_help=True)

App = Annotated[
    str | None, typer.Option("--app", metavar="APP", help="Only the records of this app.")
]
Code = Annotated[str | None, typer.Option(help="Only what was refused for this reason.")]
Written = Annotated[
    str | None,
    typer.Option("--protocol", help=", ".join(protocol.value for protocol in SenderProtocol)),
]
Ids = Annotated[
    list[int] | None, typer.Argument(metavar="[ID…]", min=1, max=ID_MAX, help="Only these.")
]


@app.command("list")
def list_newest(
    app_id: App = None,
    code: Code = None,
    protocol: Written = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    before: Annotated[
        int | None, typer.Option(min=1, max=ID_MAX, metavar="ID", help="Only older ones than this.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest refused records, newest first."""
    from engagement import operations

    chosen = _chosen(app_id, code, protocol)
    with open_service(run_tasks=False) as runtime:
        chosen = _of_named_app(runtime, chosen)
        found = operations.list_refused(runtime, chosen, limit=limit, before=before)
    if as_json:
        print_json(found)
        return
    columns = [">id", "received (UTC)", "code", "message"]
    rows = [
        [str(record.refused_id), short_instant(record.received_at), record.code, record.message]
        for record in found
    ]
    apps = {record.app_id for record in found}
    if len(apps) > 1:
        columns.insert(1, "#app id")
        for row, record in zip(rows, found, strict=True):
            row.insert(1, record.app_id)
    of_app = f" of app {apps.pop()}" if len(apps) == 1 else ""
    print_table(f"Refused records{of_app}", columns, rows)


@app.command("count")
def count(
    app_id: App = None, code: Code = None, protocol: Written = None, as_json: AsJson = False
) -> None:
    """Count the refused records of each app by reason, the most first."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        chosen = _of_named_app(runtime, _chosen(app_id, code, protocol))
        counts = operations.count_refused(runtime, chosen)
    if as_json:
        print_json(counts)
        return
    rows = [
        (count.app_id, count.code, f"{count.records:,}", byte_count(count.bytes))
        for count in counts
    ]
    print_table("Refused records", ("#app id", "code", ">records", ">size"), rows)


@app.command("show")
def show(
    refused_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=ID_MAX, help="The record.")],
    as_json: AsJson = False,
) -> None:
    """Print the body of a refused record, so that it can be mended and imported."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        record = operations.get_refused(runtime, refused_id)
    if as_json:
        described = plain(record)
        text = record.body.decode("utf-8", errors="backslashreplace")
        print_json({**described, "body": text} if isinstance(described, dict) else described)
        return
    sys.stdout.buffer.write(record.body.removesuffix(b"\n") + b"\n")
    print_note(f"{record.code}: {record.message}")


@app.command("replay")
def replay(
    refused_ids: Ids = None,
    app_id: App = None,
    code: Code = None,
    protocol: Written = None,
    as_json: AsJson = False,
) -> None:
    """Try refused records again; what is accepted leaves them, what is not stays.

    It may run beside a server. An interrupted replay can be repeated: nothing is taken twice.
    """
    with open_service(run_tasks=False) as runtime:
        chosen = _of_named_app(runtime, _chosen(app_id, code, protocol, refused_ids))
        summary = _replay(runtime, chosen, as_json=as_json)
    if as_json:
        print_json(summary)
        return
    print_fields(
        [
            ("replayed", f"{summary.replayed:,} of {summary.tried:,}"),
            ("refused", f"{sum(summary.refused.values()):,}"),
            *((f"  {name}", f"{number:,}") for name, number in sorted(summary.refused.items())),
        ]
    )


@app.command("drop")
def drop(
    refused_ids: Ids = None,
    app_id: App = None,
    code: Code = None,
    protocol: Written = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget refused records for good: those named, those chosen, or all."""
    from engagement import operations

    chosen = _chosen(app_id, code, protocol, refused_ids)
    with open_service(run_tasks=False) as runtime:
        chosen = _of_named_app(runtime, chosen)
        if not yes:
            number = sum(count.records for count in operations.count_refused(runtime, chosen))
            raise BadInputError(
                f"Dropping {number:,} refused records cannot be undone; add --yes to do it."
            )
        dropped = operations.drop_refused(runtime, chosen)
    if as_json:
        print_json({"dropped": dropped})
    else:
        print_fields([("dropped", f"{dropped:,}")])


def _chosen(
    app_id: str | None, code: str | None, protocol: str | None, ids: list[int] | None = None
) -> RefusedFilter:
    return RefusedFilter(
        app_id=app_id,
        code=code,
        protocol=None
        if protocol is None
        else parse_choice(SenderProtocol, protocol, what="protocol", error=UnknownProtocolError),
        refused_ids=tuple(ids or ()),
    )


def _of_named_app(runtime: "Runtime", chosen: RefusedFilter) -> RefusedFilter:
    """Return what was chosen, with the id of the app that it names in whatever way."""
    from engagement import operations

    if chosen.app_id is None:
        return chosen
    return replace(chosen, app_id=operations.find_named_app(runtime, chosen.app_id).app_id)


def _replay(runtime: "Runtime", chosen: RefusedFilter, *, as_json: bool) -> "ReplaySummary":
    from engagement import operations

    console = progress_console(as_json=as_json)
    if console is None:
        return operations.replay_refused(runtime, chosen)
    total = sum(count.records for count in operations.count_refused(runtime, chosen))
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("replay", total=total)
        return operations.replay_refused(
            runtime, chosen, lambda summary: bar.update(line, completed=summary.tried)
        )
