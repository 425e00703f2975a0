"""Runs the tests of tests/unit/store/queries/test_apps.py against PostgreSQL."""

from unit.store.queries.test_apps import *  # noqa: F403
