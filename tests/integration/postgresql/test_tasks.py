"""Runs the tests of tests/unit/store/queries/test_tasks.py against PostgreSQL."""

from unit.store.queries.test_tasks import *  # noqa: F403
