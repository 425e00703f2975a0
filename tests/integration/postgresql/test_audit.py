"""Runs the tests of tests/unit/store/queries/test_audit.py against PostgreSQL."""

from unit.store.queries.test_audit import *  # noqa: F403
