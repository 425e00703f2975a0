"""Adds what the clock showed while machines were running."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Bring the schema forward; nothing was seen running yet, so nothing counts as old at first."""
    op.create_table(
        "clock_boots",
        sa.Column("boot_id", sa.String(32), primary_key=True),
        sa.Column("uptime", sa.BigInteger(), nullable=False),
        sa.Column("running", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "clock_readings",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
    )
