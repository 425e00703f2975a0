"""Keeps what was accepted once as short keys, in the place of whole batch ids."""

import base64
import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ROWS_AT_ONCE = 10_000
MICROSECONDS_A_DAY = 86_400_000_000


def upgrade() -> None:
    """Bring the schema forward; what is known stays known."""
    accepted = op.create_table(
        "accepted",
        sa.Column("key", sa.String(length=20), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    known = sa.text("SELECT app_id, batch_id, received_at FROM batches")
    for rows in connection.execute(known).partitions(ROWS_AT_ONCE):
        values = [
            {"key": _key(row.app_id, row.batch_id), "day": row.received_at // MICROSECONDS_A_DAY}
            for row in rows
        ]
        connection.execute(accepted.insert(), values)
    op.drop_table("batches")


def _key(app_id: str, batch_id: str) -> str:
    digest = hashlib.blake2b(f"{app_id} {batch_id}".encode(), digest_size=15).digest()
    return base64.b64encode(digest).decode("ascii")
