"""Tests that a part of a plan is read with its task and its receipt."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from engagement.exceptions import (
    IncompleteExportError,
)
from engagement.export.plan import empty_part
from engagement.model.exports import (
    Receipt,
)
from engagement.model.plan import Plan, PlanHead
from engagement.model.records import Kind
from engagement.store.queries.plans import PlanQueries, StoredPart
from engagement.store.queries.tasks import TaskQueries
from support.batches import NOW
from support.home import queued_task

SECOND = timedelta(seconds=1)


def receipt(rows: int) -> Receipt:
    return Receipt(
        name=f"part-{rows}",
        rows=rows,
        rows_read=rows,
        bytes=rows * 10,
        sha256="0" * 64,
        first_at=NOW,
        last_at=NOW + SECOND,
    )


def plan_of(*rows: int) -> Plan:
    parts = (replace(empty_part(), index=index, rows=count) for index, count in enumerate(rows))
    return Plan(head=PlanHead(versions={Kind.EVENT: 3}, campaign_ids=(4, 2)), parts=tuple(parts))


def test_a_part_is_read_with_its_task_and_whether_it_was_delivered(engine: sa.Engine) -> None:
    tasks, plans = TaskQueries(engine), PlanQueries(engine)
    tasks.add(queued_task("1"), sealed_container_url=b"sealed")
    with pytest.raises(IncompleteExportError, match="part 0"):
        plans.read_part("1", 0)
    plan = plan_of(10, 20)
    plans.keep_plan("1", plan)
    plans.keep_receipt("1", 0, receipt(10))

    export = plans.read_export("1")
    assert (export.task_id, export.attempt, export.cancel_requested) == ("1", 1, False)
    assert (export.request, export.folder) == (queued_task("1").request, queued_task("1").folder)
    assert (export.plan_head, export.parts_total) == (plan.head, 2)
    assert export.sealed_container_url == b"sealed"
    for index, part in enumerate(plan.parts):
        assert plans.read_part("1", index) == StoredPart(
            export=export, part=part, is_delivered=index == 0
        )
    with pytest.raises(IncompleteExportError, match="part 2"):
        plans.read_part("1", 2)
