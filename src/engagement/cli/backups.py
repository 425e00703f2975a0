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
