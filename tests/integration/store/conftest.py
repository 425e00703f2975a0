"""Gives tests of what machines share a PostgreSQL server in place of SQLite."""

from integration.postgresql.conftest import url

__all__ = ["url"]
