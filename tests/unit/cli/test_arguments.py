"""Tests what several commands take, and how they choose among it."""

from pathlib import Path

import pytest

from engagement.cli.arguments import choose_roles
from engagement.exceptions import BadInputError
from engagement.model.executors import WORKER_ROLES, ProcessRole
from engagement.settings import Settings

CLUSTER = "postgresql+psycopg://localhost/state"
FLUSH, EXPORT = (ProcessRole.FLUSH, ProcessRole.EXPORT)


@pytest.mark.parametrize(
    ("given", "of_environment", "chosen"),
    [
        ("", (), WORKER_ROLES),
        ("", ("flush",), (FLUSH,)),
        (" flush, export,", (), (FLUSH, EXPORT)),
        ("export", ("flush",), (EXPORT,)),
    ],
)
def test_roles_are_those_given_else_of_the_environment_else_all(
    tmp_path: Path,
    given: str,
    of_environment: tuple[str, ...],
    chosen: tuple[ProcessRole, ...],
) -> None:
    settings = Settings(home=tmp_path, state_url=CLUSTER, roles=of_environment)

    assert choose_roles(given, settings, WORKER_ROLES) == chosen


@pytest.mark.parametrize(("given", "of_environment"), [("flush", ()), ("", ("flush",))])
def test_a_service_alone_has_no_roles(
    tmp_path: Path, given: str, of_environment: tuple[str, ...]
) -> None:
    """One that left devices' paths out would refuse all that they send."""
    settings = Settings(home=tmp_path, roles=of_environment)

    with pytest.raises(BadInputError, match="ENGAGEMENT_STATE_URL"):
        choose_roles(given, settings, WORKER_ROLES)
