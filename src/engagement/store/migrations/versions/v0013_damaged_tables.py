"""Remembers which of the lake's tables are damaged, and so take no commits."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the schema forward; a start finds out which tables are damaged."""
    op.add_column("lake_tables", sa.Column("damage", sa.Text()))
