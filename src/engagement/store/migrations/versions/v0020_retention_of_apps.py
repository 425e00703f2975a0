"""Adds how long the history of an app is kept, and when all upkeep of it was done last."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Bring the schema forward; all history was kept."""
    op.add_column("apps", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("apps", sa.Column("tidied_at", sa.BigInteger(), nullable=True))
