"""Runs the tests of tests/unit/store/queries/test_points.py against PostgreSQL."""

from unit.store.queries.test_points import *  # noqa: F403
