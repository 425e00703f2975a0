"""Inserts that may say what becomes of a row that is there already."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert_into(table: sa.Table, dialect: str) -> "postgresql.Insert | sqlite.Insert":
    """Return an insert for a dialect by its name; both know the same, each in a class of its own.

    What PostgreSQL needs of SQLAlchemy loads only for PostgreSQL.
    """
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415

    return sqlite.insert(table)
