"""Adds what is staged for the lake's tables, and their open commits."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Bring the schema forward; the tables begin with the commits that are recorded."""
    op.create_table(
        "staged_files",
        sa.Column(
            "staged_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("app_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("group_id", sa.String(32), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("staged_at", sa.BigInteger(), nullable=False),
        sa.Column("commit_id", sa.BigInteger(), nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_staged_files_commit", "staged_files", ["app_id", "kind", "commit_id"])
    op.create_table(
        "lake_tables",
        sa.Column("app_id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("commit_id", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("rows_total", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.execute(
        "INSERT INTO lake_tables (app_id, kind, version, rows_total) "
        "SELECT app_id, kind, version, rows_total FROM commits AS newest WHERE version = "
        "(SELECT max(version) FROM commits WHERE app_id = newest.app_id AND kind = newest.kind)"
    )
