"""The command that lets whoever has the home folder into the console."""

from typing import Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, print_json
from engagement.model.instants import format_rfc3339


def console(
    server: Annotated[
        str,
        typer.Option(
            "--address", metavar="URL", help="Where the server is reached; its public URL if set."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print an address that signs in to the console once, within five minutes."""
    from engagement import operations

    with open_service(run_tasks=False) as runtime:
        code = operations.create_sign_in_code(runtime)
        base = server or runtime.settings.public_url or "http://127.0.0.1:8080"
    address = sign_in_address(base, code.code)
    if as_json:
        print_json({"address": address, "endsAt": format_rfc3339(code.ends_at)})
    else:
        typer.echo(address)


def sign_in_address(base: str, code: str) -> str:
    """Return where a code signs in, at a server's address."""
    return f"{base.rstrip('/')}/console/sign-in/code?code={code}"
