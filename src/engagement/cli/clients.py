"""The commands about the programs that may use the API."""

from typing import Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, plain, print_json, print_note, print_table
from engagement.exceptions import UnknownRoleError
from engagement.model.access import ApiClient, NewClient, Role, Scope
from engagement.model.choices import parse_choice
from engagement.model.instants import format_rfc3339

app = typer.Typer(help="Register the programs that may use the API.", no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT", help="Id or name of the client.")]
SecretDays = Annotated[
    int | None, typer.Option(min=1, metavar="DAYS", help="Days until the secret ends.")
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your words for the program.")],
    role: Annotated[
        str, typer.Option(help=", ".join(role.value for role in Role))
    ] = Role.READER.value,
    scope: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="Resource path of a subscription, collection or app; / is all."
        ),
    ] = "/",
    secret_days: SecretDays = None,
    as_json: AsJson = False,
) -> None:
    """Register a client and show its secret, this once."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        made = operations.create_client(
            runtime,
            name=name,
            role=parse_choice(Role, role, what="role", error=UnknownRoleError),
            scope=Scope.parse(scope),
            secret_days=secret_days,
        )
    _print_secret(made, as_json=as_json)


@app.command("rotate")
def rotate(
    client: ClientId,
    secret_days: SecretDays = None,
    keep_hours: Annotated[
        int,
        typer.Option(min=0, metavar="HOURS", help="How long the old secret and its tokens work."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Give a client a new secret and show it, this once."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        made = operations.rotate_client(
            runtime, client, secret_days=secret_days, keep_hours=keep_hours
        )
    _print_secret(made, as_json=as_json)


@app.command("revoke")
def revoke(client: ClientId, as_json: AsJson = False) -> None:
    """End a client: no new tokens, and those it has are refused within seconds."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        ended = operations.revoke_client(runtime, client)
    if as_json:
        print_json(_describe(ended))
    else:
        print_note(f"The client {ended.name} is revoked.")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the clients, oldest first; secrets are never shown again."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        found = operations.list_clients(runtime)
    if as_json:
        print_json([_describe(client) for client in found])
        return
    rows = [
        (
            client.client_id,
            client.name,
            client.role.value,
            client.scope.path,
            _until(client),
        )
        for client in found
    ]
    columns = ("#client id", "name", "role", "scope", "secret until")
    print_table("Clients", columns, rows)


def _describe(client: ApiClient) -> object:
    fields = plain(client)
    return fields | {"scope": client.scope.path} if isinstance(fields, dict) else fields


def _until(client: ApiClient) -> str:
    if client.revoked_at is not None or client.secret_expires_at is None:
        return "revoked"
    return format_rfc3339(client.secret_expires_at)


def _print_secret(made: NewClient, *, as_json: bool) -> None:
    secret = {
        "tenantId": made.tenant_id,
        "clientId": made.client.client_id,
        "clientSecret": made.client_secret,
    }
    until = _until(made.client)
    if as_json:
        print_json(secret | {"expiresAt": until})
        return
    for name, value in secret.items():
        typer.echo(f"{name:<13}{value}")
    print_note(
        f"The secret is shown this once; it ends {until}. "
        f"Rotate it in time: engagement clients rotate {made.client.name}"
    )
