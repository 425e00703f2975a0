"""Adds how often an import was begun."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the schema forward; imports that are under way were begun once at most."""
    op.add_column(
        "import_tasks", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0")
    )
