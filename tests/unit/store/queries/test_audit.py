"""Tests that the state database lists changes as they were recorded."""

from datetime import timedelta

import sqlalchemy as sa

from engagement.model.audit import Action, Change
from engagement.store.queries.audit import AuditFilter, AuditQueries
from support.batches import NOW


def test_changes_come_back_the_newest_first(engine: sa.Engine) -> None:
    queries = AuditQueries(engine)
    changes = [
        Change(
            changed_at=NOW + timedelta(seconds=number),
            actor="client",
            action=Action.EXPORT_CREATE if number % 2 else Action.APP_CREATE,
            app_id=f"{number}" if number else None,
            subject=f"thing {number}",
        )
        for number in range(4)
    ]
    for change in changes:
        queries.add(change)

    found = queries.list_page(AuditFilter(), limit=9)

    assert [entry.change for entry in found] == changes[::-1]
    assert queries.list_page(AuditFilter(), limit=1, before=found[1].position) == [found[2]]
    of_two = AuditFilter(app_ids=frozenset({"1", "2"}), action=Action.EXPORT_CREATE)
    assert queries.list_page(of_two, limit=9) == [found[2]]

    queries.forget(NOW + timedelta(seconds=2))

    assert queries.list_page(AuditFilter(), limit=9) == found[:2]
