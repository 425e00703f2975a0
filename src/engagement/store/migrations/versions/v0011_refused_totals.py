"""Adds what the refused records of each app take together."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the schema forward; what is there is counted once."""
    op.create_index("ix_refused_app_id", "refused", ["app_id", "refused_id"])
    op.create_table(
        "refused_totals",
        sa.Column("app_id", sa.String(32), primary_key=True),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("crowded_out", sa.BigInteger(), nullable=False),
    )
    op.execute(
        "INSERT INTO refused_totals (app_id, records, bytes, crowded_out) "
        "SELECT app_id, count(*), sum(length(body)), 0 FROM refused GROUP BY app_id"
    )
