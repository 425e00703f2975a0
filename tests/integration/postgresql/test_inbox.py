"""Runs the tests of tests/unit/store/queries/test_inbox.py against PostgreSQL."""

from unit.store.queries.test_inbox import *  # noqa: F403
