"""Runs the tests of tests/unit/store/queries/test_export_lists.py against PostgreSQL."""

from unit.store.queries.test_export_lists import *  # noqa: F403
