"""Keeps which sessions, jobs, information and locations were seen before."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the schema forward; what was flushed before is not known by it."""
    op.create_table(
        "spans",
        sa.Column("device", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("thing", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("device_start", sa.BigInteger(), nullable=True),
        sa.Column("received_on", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "thing"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contents",
        sa.Column("device", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("thing", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "thing"),
        sqlite_with_rowid=False,
    )
