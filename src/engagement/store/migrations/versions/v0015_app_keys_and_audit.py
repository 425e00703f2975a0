"""Lets an app have several keys, and keeps who changed what."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Bring the schema forward; the one key of each app goes on."""
    op.create_table(
        "app_keys",
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("app_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_sha256"),
    )
    op.create_index("ix_app_keys_app", "app_keys", ["app_id"])
    op.execute(
        "INSERT INTO app_keys (key_sha256, app_id, name, created_at) "
        "SELECT key_sha256, app_id, 'first', created_at FROM apps"
    )
    op.execute("ALTER TABLE apps DROP COLUMN key_sha256")
    op.create_table(
        "audit_log",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("on_app", sa.String(length=32), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_app", "audit_log", ["on_app", "position"])
