"""Runs the tests of tests/unit/store/queries/test_refused.py against PostgreSQL."""

from unit.store.queries.test_refused import *  # noqa: F403
