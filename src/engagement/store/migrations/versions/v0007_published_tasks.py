"""Marks the export tasks that were asked through the contract of 2014."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the schema forward; tasks that there are may have been asked through it."""
    op.add_column(
        "export_tasks",
        sa.Column("published_contract", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
