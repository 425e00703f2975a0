"""The commands about the keys of an installation."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from engagement.cli.opening import open_keyring
from engagement.cli.output import AsJson, print_fields, print_json, print_note
from engagement.model.instants import format_rfc3339
from engagement.model.keys import KeyState, KeyStatus

app = typer.Typer(
    help="Look at the keys, exchange them, or go on after a loss.", no_args_is_help=True
)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show whether the keys are at hand that everything is sealed and tokens are signed with."""
    from engagement import operations

    with open_keyring(is_exclusive=False) as keyring:
        found = operations.read_key_status(keyring, now=datetime.now(UTC))
    _print_status(found, as_json=as_json)


@app.command("rotate")
def rotate(
    end_tokens: Annotated[
        bool, typer.Option("--end-tokens", help="Refuse the tokens that the old key signed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Exchange both keys: everything is sealed anew, and tokens go on until they end."""
    from engagement import operations

    with open_keyring(is_exclusive=True) as keyring:
        found = operations.rotate_keys(keyring, now=datetime.now(UTC), end_tokens=end_tokens)
    _print_status(found, as_json=as_json)
    print_note("Copy keys/vault.key now; older backups of the state database need the old one.")


@app.command("reset")
def reset(as_json: AsJson = False) -> None:
    """Go on with new keys after the vault's was lost; tokens end, and unfinished tasks fail."""
    from engagement import operations

    with open_keyring(is_exclusive=True) as keyring:
        found = operations.reset_keys(keyring, now=datetime.now(UTC))
    _print_status(found, as_json=as_json)
    if found.sealed_lost:
        print_note(f"{found.sealed_lost} tasks will fail with VaultKeyLost; retry them.")


def _print_status(found: KeyStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_fields(
        [
            ("vault key", f"{found.vault_key.value} {found.vault_key_id or ''}".strip()),
            ("sealed with it", str(found.sealed)),
            ("sealed with lost keys", str(found.sealed_lost)),
            ("signing key", found.signing_key.value),
            (
                "former signing keys end",
                ", ".join(map(format_rfc3339, found.former_keys_end_at)) or "-",
            ),
        ]
    )
    if found.vault_key is KeyState.LOST:
        print_note("Put a copy of keys/vault.key back, or go on with `engagement keys reset`.")
