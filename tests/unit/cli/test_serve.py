"""Tests what a server says when it starts."""

from pathlib import Path

import pytest

from engagement import operations
from engagement.cli.serve import say_hello
from engagement.model.access import Role, Scope
from engagement.model.executors import SERVER_ROLES, ProcessRole
from engagement.runtime.opening import open_service
from engagement.settings import Settings

ADDRESS = "http://127.0.0.1:8080"


@pytest.mark.parametrize("has_client", [False, True])
@pytest.mark.parametrize("roles", [SERVER_ROLES, (ProcessRole.COLLECT,)])
def test_the_consoles_address_is_told_where_there_is_one(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    roles: tuple[ProcessRole, ...],
    has_client: bool,  # noqa: FBT001 - one of the cases
) -> None:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        if has_client:
            operations.create_client(runtime, name="n", role=Role.OWNER, scope=Scope())

        say_hello(runtime, ADDRESS, ADDRESS, roles, as_json=False)

    printed = "".join(capsys.readouterr())
    assert f"Serving on {ADDRESS}" in printed
    assert ("Console" in printed) == (ProcessRole.API in roles)
    assert ("/sign-in/code?" in printed) == (ProcessRole.API in roles and not has_client)
