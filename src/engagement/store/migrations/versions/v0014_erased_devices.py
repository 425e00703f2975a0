"""Adds the devices that were erased, whose late batches are refused."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Bring the schema forward; what was erased before is not known."""
    op.create_table(
        "erased_devices",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("app_id", sa.String(length=32), nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_erased_devices_device", "erased_devices", ["device"], unique=True)
    op.create_index("ix_erased_devices_app", "erased_devices", ["app_id", "erased_at"])
