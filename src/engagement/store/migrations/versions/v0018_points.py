"""Makes room for what the console's charts are drawn from."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "points",
        sa.Column("scope", sa.String(32), primary_key=True),
        sa.Column("series", sa.String(64), primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True),
        sa.Column("sum", sa.BigInteger, nullable=False),
        sa.Column("high", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_points_age", "points", ["step", "at"])
