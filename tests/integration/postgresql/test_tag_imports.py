"""Runs the tests of tests/unit/store/queries/test_tag_imports.py against PostgreSQL."""

from unit.store.queries.test_tag_imports import *  # noqa: F403
