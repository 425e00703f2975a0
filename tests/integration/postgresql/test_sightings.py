"""Runs the tests of tests/unit/store/queries/test_sightings.py against PostgreSQL."""

from unit.store.queries.test_sightings import *  # noqa: F403
