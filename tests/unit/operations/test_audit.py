"""Tests that the audit log says who changed what, in order, for as long as it is kept."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import BadInputError
from engagement.model.audit import LOCAL_ACTOR, Action
from engagement.operations.audit import CHANGES_PER_PAGE_MAX
from engagement.runtime.opening import Runtime
from engagement.testing import StoppedClock, open_test_runtime
from support.batches import NOW

ALL = operations.AuditFilter()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_test_runtime(tmp_path / "home", clock=StoppedClock(NOW)) as runtime:
        for number in range(5):
            operations.record_change(
                runtime.act_for(f"client {number}"),
                Action.DEVICE_ERASE if number % 2 else Action.KEY_CREATE,
                app_id="a" if number < 3 else None,
                subject=f"thing {number}",
            )
        yield runtime


def subjects(runtime: Runtime, chosen: operations.AuditFilter, **page: int) -> list[str]:
    return [entry.change.subject for entry in operations.list_audit(runtime, chosen, **page)]


def test_changes_are_listed_newest_first_and_page_by_page(runtime: Runtime) -> None:
    first = operations.list_audit(runtime, ALL, limit=2)

    assert [entry.change.subject for entry in first] == ["thing 4", "thing 3"]
    assert subjects(runtime, ALL, before=first[-1].position) == ["thing 2", "thing 1", "thing 0"]


def test_changes_are_chosen_by_app_kind_and_time(runtime: Runtime) -> None:
    of_app = operations.AuditFilter(app_ids=frozenset({"a"}))
    erased = operations.AuditFilter(action=Action.DEVICE_ERASE)

    assert subjects(runtime, of_app) == ["thing 2", "thing 1", "thing 0"]
    assert subjects(runtime, erased) == ["thing 3", "thing 1"]
    assert subjects(runtime, operations.AuditFilter(app_ids=frozenset())) == []
    assert subjects(runtime, operations.AuditFilter(since=NOW + timedelta(seconds=1))) == []


def test_whoever_may_enter_the_home_folder_is_named_as_such(runtime: Runtime) -> None:
    operations.record_change(runtime, Action.KEY_REVOKE, subject="x" * 9_999)

    (newest,) = operations.list_audit(runtime, ALL, limit=1)

    assert newest.change.actor == LOCAL_ACTOR
    assert newest.change.changed_at == NOW
    assert len(newest.change.subject) == 500


@pytest.mark.parametrize("limit", [0, CHANGES_PER_PAGE_MAX + 1])
def test_no_more_is_listed_at_once_than_one_answer_has(runtime: Runtime, limit: int) -> None:
    with pytest.raises(BadInputError):
        operations.list_audit(runtime, ALL, limit=limit)


def test_changes_are_forgotten_when_they_are_too_old(runtime: Runtime) -> None:
    runtime.audit.forget(NOW)
    assert len(subjects(runtime, ALL)) == 5
    runtime.audit.forget(NOW + timedelta(microseconds=1))
    assert subjects(runtime, ALL) == []
