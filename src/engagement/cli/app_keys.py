"""The commands about the keys that devices of an app write with."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from engagement.cli.arguments import AppArgument
from engagement.cli.opening import open_service
from engagement.cli.output import (
    AsJson,
    plain,
    print_fields,
    print_json,
    print_note,
    print_table,
    short_instant,
)
from engagement.model.apps import AppKey, NewAppKey
from engagement.model.instants import format_rfc3339

KEEP_DAYS_DEFAULT = 90

app = typer.Typer(
    help="Create, exchange and revoke the keys that devices write with.", no_args_is_help=True
)
KeyName = Annotated[
    str, typer.Argument(metavar="KEY", help="The key's id; or its name, if one alone has it.")
]
Days = Annotated[
    int | None, typer.Option(min=1, metavar="DAYS", help="Days until the key ends by itself.")
]


@app.command("list")
def list_all(app_name: AppArgument, as_json: AsJson = False) -> None:
    """List the keys of an app, those that have ended too; the keys themselves are nowhere."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = operations.find_named_app(runtime, app_name)
        found = operations.list_keys(runtime, owner.app_id)
        now = runtime.clock()
    if as_json:
        print_json([_describe(key) for key in found])
        return
    rows = [
        (
            key.key_id,
            key.name,
            _state(key, now),
            short_instant(key.created_at),
            short_instant(key.last_used_at),
        )
        for key in found
    ]
    columns = ("#key id", "name", "works", "created", "last used")
    print_table(f"Keys of {owner.name}", columns, rows)


@app.command("create")
def create(
    app_name: AppArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your words for the key.")],
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Make a further key of an app and show it, this once."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = operations.find_named_app(runtime, app_name)
        ends_at = None if days is None else runtime.clock() + timedelta(days=days)
        made = operations.create_key(runtime, owner.app_id, name=name, ends_at=ends_at)
    _print_key(made, as_json=as_json)


@app.command("rotate")
def rotate(
    app_name: AppArgument,
    key: KeyName,
    keep_days: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Days for which the old key goes on.")
    ] = KEEP_DAYS_DEFAULT,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Make a key in the place of another and show it, this once; the old one goes on for days."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = operations.find_named_app(runtime, app_name)
        ends_at = None if days is None else runtime.clock() + timedelta(days=days)
        made = operations.rotate_key(
            runtime, owner.app_id, key, ends_at=ends_at, keep_hours=24 * keep_days
        )
    _print_key(made, as_json=as_json)


@app.command("revoke")
def revoke(app_name: AppArgument, key: KeyName, as_json: AsJson = False) -> None:
    """End a key: what devices send with it is refused within 2 seconds."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        owner = operations.find_named_app(runtime, app_name)
        ended = operations.revoke_key(runtime, owner.app_id, key)
    if as_json:
        print_json(_describe(ended))
    else:
        print_note(f"The key {ended.key_id} ({ended.name}) is revoked.")


def _describe(key: AppKey) -> dict[str, object]:
    described = plain(key)
    is_live = key.is_live(datetime.now(UTC))
    return {**described, "isLive": is_live} if isinstance(described, dict) else {}


def _state(key: AppKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.ends_at is None:
        return "yes"
    return f"to {short_instant(key.ends_at)}" if key.is_live(now) else "ended"


def _print_key(made: NewAppKey, *, as_json: bool) -> None:
    if as_json:
        print_json({**_describe(made.key), "appKey": made.app_key})
        return
    ends_at = "-" if made.key.ends_at is None else format_rfc3339(made.key.ends_at)
    print_fields([("key id", made.key.key_id), ("app key", made.app_key), ("ends", ends_at)])
    print_note("Keep the app key: only a hash of it is stored.")
