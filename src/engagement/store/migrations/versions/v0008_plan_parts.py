"""Keeps a plan as a head and a row a part, and what was asked by the names of its fields."""

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the schema forward; tasks under way go on with the plan that they have."""
    plan_parts = op.create_table(
        "export_plan_parts",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("part_index", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "part_index"),
    )
    op.execute("ALTER TABLE export_tasks RENAME COLUMN plan TO plan_head")
    connection = op.get_bind()
    task_ids = list(connection.scalars(sa.text("SELECT task_id FROM export_tasks")))
    kept = sa.text("SELECT request, plan_head FROM export_tasks WHERE task_id = :task_id")
    update = sa.text(
        "UPDATE export_tasks SET request = :request, plan_head = :plan_head "
        "WHERE task_id = :task_id"
    )
    for task_id in task_ids:
        row = connection.execute(kept, {"task_id": task_id}).one()
        plan = None if row.plan_head is None else json.loads(row.plan_head)
        values = {
            "task_id": task_id,
            "request": json.dumps(_request(json.loads(row.request))),
            "plan_head": None if plan is None else json.dumps(_head(plan)),
        }
        connection.execute(update, values)
        if plan is not None and plan["parts"]:
            connection.execute(plan_parts.insert(), _rows(task_id, plan["parts"]))


def _request(old: dict[str, Any]) -> dict[str, Any]:
    new = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in old.items()}
    span = new.pop("range")
    new["time_range"] = span and {"start": span[0], "end": span[1]}
    # What was kept before the later contract existed does not say so, and meant the first.
    new["published_contract"] = old.get("publishedContract", True)
    return new


def _head(old: dict[str, Any]) -> dict[str, Any]:
    return {"versions": old["versions"], "campaign_ids": old["campaignIds"]}


def _rows(task_id: str, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "task_id": task_id,
            "part_index": index,
            "part": json.dumps(_part(index, part)),
            "rows": part["rows"],
        }
        for index, part in enumerate(parts)
    ]


def _part(index: int, old: dict[str, Any]) -> dict[str, Any]:
    first_day, last_day = old["days"] or (None, None)
    device_from, device_to = old["devices"]
    return {
        "index": index,
        "first_day": first_day,
        "last_day": last_day,
        "device_from": device_from,
        "device_to": device_to,
        "files": old["files"],
        "rows": old["rows"],
        "in_order": old["inOrder"],
        "is_folded": old.get("isFolded", False),
    }
