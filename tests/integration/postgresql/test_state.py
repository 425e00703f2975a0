"""Runs the tests of tests/unit/store/test_state.py against PostgreSQL."""

from unit.store.test_state import *  # noqa: F403
