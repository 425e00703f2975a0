"""Runs the tests of tests/unit/store/queries/test_clients.py against PostgreSQL."""

from unit.store.queries.test_clients import *  # noqa: F403
