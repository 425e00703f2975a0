"""Tests that a change is written as a row of text."""

from engagement.model.audit import COLUMNS, Action, Change, RecordedChange
from support.batches import NOW


def test_a_change_has_a_text_for_each_column() -> None:
    change = Change(
        changed_at=NOW, actor="client", action=Action.KEY_REVOKE, app_id=None, subject="key 1"
    )

    row = RecordedChange(position=7, change=change).columns()

    assert dict(zip(COLUMNS, row, strict=True)) == {
        "position": "7",
        "changedAt": row[1],
        "actor": "client",
        "action": "key.revoke",
        "appId": "",
        "subject": "key 1",
    }
    assert row[1].startswith(NOW.date().isoformat())
