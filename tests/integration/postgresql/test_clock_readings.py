"""Runs the tests of tests/unit/store/queries/test_clock_readings.py against PostgreSQL."""

from unit.store.queries.test_clock_readings import *  # noqa: F403
