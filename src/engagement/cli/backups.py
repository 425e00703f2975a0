"""The commands that back a service up while it runs, and restore a backup."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engagement.cli.output import AsJson, byte_count, print_fields, print_json, print_note
from engagement.model.instants import format_rfc3339

if TYPE_CHECKING:
    from engagement.runtime.backups import Backup

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="The copy of keys/vault.key, kept apart."),
]


def back_up(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="An empty folder, or a URL of object storage.")
    ],
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy state and lake, of one moment and proved, while the service goes on."""
    from engagement.runtime.backups import back_up
    from engagement.settings import Settings

    backup = back_up(Settings.from_environment(), target, key_file=key_file)
    _print_backup(backup, as_json=as_json)
    if key_file is None and not as_json:
        print_note(f"Not in it: the key {backup.vault_key_id}. Keep keys/vault.key apart from it.")


def restore(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The backup's folder or URL.")],
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a backup a service again, in an empty home folder, and prove that it is whole."""
    from engagement.runtime.backups import restore
    from engagement.settings import Settings

    settings = Settings.from_environment()
    backup = restore(settings, source, key_file=key_file)
    _print_backup(backup, as_json=as_json)
    if not (settings.home / "keys" / "vault.key").exists() and not as_json:
        print_note(
            f"Put the key {backup.vault_key_id} into {settings.home}/keys/vault.key before the "
            "service starts; without it, go on with `engagement keys reset`."
        )


def _print_backup(backup: "Backup", *, as_json: bool) -> None:
    if as_json:
        print_json(backup)
        return
    print_fields(
        [
            ("begunAt", format_rfc3339(backup.created_at)),
            ("release", backup.release),
            ("vaultKeyId", backup.vault_key_id),
            ("tables", str(len(backup.tables))),
            ("rows", f"{sum(table.rows for table in backup.tables):,}"),
            ("waiting", f"{backup.state['inbox'].rows:,} batches"),
            ("files", f"{backup.files:,}"),
            ("size", byte_count(backup.bytes)),
        ]
    )


def move(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="ENGAGEMENT_… variables of the new place.")
    ],
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Open the service again where it is.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move a service that does not run to another database, another lake, or both."""
    from dotenv import dotenv_values

    from engagement.exceptions import BadInputError
    from engagement.runtime.moving import give_up_move, move_service
    from engagement.settings import Settings

    settings = Settings.from_environment()
    if give_up:
        give_up_move(settings)
        print_note("Given up: the service can be opened where it is.")
        return
    if not file.is_file():
        raise BadInputError(f"FILE must hold the new place's variables, got no file {file}.")
    given = dotenv_values(file, interpolate=False)
    target = Settings.from_environment({name: value or "" for name, value in given.items()})
    report = move_service(settings, target)
    if as_json:
        print_json(report)
        return
    print_fields(
        [
            ("target", report.target),
            ("tables", str(len(report.tables))),
            ("rows", f"{sum(table.rows for table in report.tables):,}"),
            ("waiting", f"{report.waiting:,} batches"),
            ("stateRows", f"{report.state_rows:,}"),
            ("files", f"{report.files:,}"),
            ("size", byte_count(report.bytes)),
        ]
    )
    print_note("Proved. Start the service with the settings of its new place.")
