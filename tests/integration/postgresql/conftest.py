"""Gives the tests of the state database a PostgreSQL server in place of SQLite."""

from collections.abc import Iterator

import pytest

from support.postgres import open_postgres


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of an empty database."""
    with open_postgres() as url:
        yield url
