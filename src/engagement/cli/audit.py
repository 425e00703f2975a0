"""The command that shows who changed what."""

import sys
from typing import Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, plain, print_json, print_note
from engagement.model.audit import Action, write_csv
from engagement.model.choices import parse_choice

POSITION_MAX = 2**63 - 1


def audit(
    app_name: Annotated[
        str | None,
        typer.Option("--app", metavar="APP", help="Of one app only, by its name, id or path."),
    ] = None,
    action: Annotated[
        str | None, typer.Option(metavar="ACTION", help="Of one kind only, such as key.revoke.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 50,
    before: Annotated[
        int | None,
        typer.Option(min=1, max=POSITION_MAX, metavar="POSITION", help="Older than this one only."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, the newest first."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = None if app_name is None else operations.find_named_app(runtime, app_name)
        chosen = operations.AuditFilter(
            app_ids=None if owner is None else frozenset({owner.app_id}),
            action=None if action is None else parse_choice(Action, action, what="action"),
        )
        found = operations.list_audit(runtime, chosen, limit=limit, before=before)
    if as_json:
        print_json([{"position": entry.position, **_fields(entry.change)} for entry in found])
        return
    if as_csv:
        sys.stdout.write(write_csv(found))
        return
    for entry in found:
        _, changed_at, actor, what, _, subject = entry.columns()
        sys.stdout.write(f"{changed_at}  {what:<14}  by {actor}\n    {subject}\n")
    if len(found) == limit:
        print_note(f"Older ones: engagement audit --before {found[-1].position}")


def _fields(value: object) -> dict[str, object]:
    fields = plain(value)
    return fields if isinstance(fields, dict) else {}
