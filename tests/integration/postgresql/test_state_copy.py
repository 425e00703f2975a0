"""Runs the tests of tests/unit/store/test_state_copy.py with copies into a PostgreSQL server."""

import secrets
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from unit.store.test_state_copy import *  # noqa: F403


@pytest.fixture
def target_url(url: str) -> Iterator[str]:
    """A database of its own."""
    name = f"copy_{secrets.token_hex(4)}"
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()
