"""Runs the tests of tests/unit/store/queries/test_app_keys.py against PostgreSQL."""

from unit.store.queries.test_app_keys import *  # noqa: F403
