"""Remembers which apps are deleted, so that what is left of them goes whatever comes between."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bring the schema forward."""
    op.create_table(
        "deleted_apps",
        sa.Column("app_id", sa.String(length=32), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id"),
    )
