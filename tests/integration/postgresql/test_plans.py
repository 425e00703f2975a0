"""Runs the tests of tests/unit/store/queries/test_plans.py against PostgreSQL."""

from unit.store.queries.test_plans import *  # noqa: F403
