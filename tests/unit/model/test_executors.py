"""Tests which roles the processes of a cluster can have."""

import pytest

from engagement.exceptions import BadInputError
from engagement.model.executors import SERVER_ROLES, WORKER_ROLES, ProcessRole, parse_roles


def test_roles_are_all_or_those_that_are_named() -> None:
    assert parse_roles((), WORKER_ROLES) == WORKER_ROLES
    assert parse_roles(("export", "flush"), WORKER_ROLES) == (
        ProcessRole.FLUSH,
        ProcessRole.EXPORT,
    )


def test_a_role_of_another_command_is_refused() -> None:
    with pytest.raises(BadInputError, match="must be one of collect, api, got 'flush'"):
        parse_roles(("flush",), SERVER_ROLES)
