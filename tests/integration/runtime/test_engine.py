"""Tests that the engine stops without a word about what has ended."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from dbos._sys_db import SystemDatabase

from engagement.export.workflow import DBOS_UNDER_WAY
from engagement.failpoints import Failpoint
from engagement.model.exports import ExportState, ExportType
from engagement.runtime.ended_workflows import forget_ended_workflows
from support.day_exports import running_day_exports
from support.waiting import WAIT_SECONDS_MAX, wait_for, wait_for_event
from support.whole_service import export_all, register_app, running

DAYS = 3


class LateEnds:
    """Lets DBOS keep a workflow's end only once the service that stops has asked for it.

    Or once DBOS is destroyed, by a service that asks for nothing.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept = 0
        self._may_be_kept = threading.Event()
        self._keep = SystemDatabase.update_workflow_outcome
        self._list, self._destroy = DBOS.list_workflows, DBOS.destroy
        monkeypatch.setattr(SystemDatabase, "update_workflow_outcome", self._keep_late())
        monkeypatch.setattr(DBOS, "list_workflows", self._list_workflows)
        monkeypatch.setattr(DBOS, "destroy", self._destroy_dbos)

    def _keep_late(self) -> Any:
        def keep_late(
            database: SystemDatabase, workflow_id: str, *words: Any, **options: Any
        ) -> bool:
            is_of_part = "-" in workflow_id
            if not is_of_part:
                assert self._may_be_kept.wait(WAIT_SECONDS_MAX)
            kept = self._keep(database, workflow_id, *words, **options)
            self.kept += not is_of_part
            return kept

        return keep_late

    def _list_workflows(self, **options: Any) -> Any:
        listed = self._list(**options)
        if options.get("limit") == 1:
            self._may_be_kept.set()
        return listed

    def _destroy_dbos(self, **options: Any) -> None:
        self._destroy(**options)
        self._may_be_kept.set()


def test_the_end_of_an_export_is_kept_before_the_engine_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The task says that it has succeeded a moment before DBOS has kept its workflow's end."""
    ends = LateEnds(monkeypatch)
    logger = logging.getLogger("dbos")
    monkeypatch.setattr(logger, "propagate", True)

    with caplog.at_level(logging.WARNING), running(tmp_path / "home") as runtime:
        export_all(runtime, register_app(runtime).app_id, [ExportType.DEVICE])

    assert ends.kept == 1
    assert not [record for record in caplog.records if record.name.startswith("dbos")]


def test_workflows_that_ended_are_forgotten_and_those_that_go_on_with_their_parts_are_not(
    tmp_path: Path,
) -> None:
    goes_on, is_held = threading.Event(), threading.Event()
    writes = threading.Lock()
    written: list[str] = []

    def hold_last(here: Failpoint) -> None:
        if here is Failpoint.PART_STARTED:
            with writes:
                written.append(str(DBOS.workflow_id))
                is_last = len(written) == 2 * DAYS
            if is_last:
                is_held.set()
                wait_for_event(goes_on, "what has ended to be forgotten")

    with running_day_exports(tmp_path, on_failpoint=hold_last, PARTS_CONCURRENT=1) as exports:
        app_id = exports.create_app("app", days=DAYS)
        assert exports.end_of(exports.create_export(app_id)).state is ExportState.SUCCEEDED
        wait_for(lambda: not _list_ids(sorted(DBOS_UNDER_WAY)), "DBOS to keep the first end")
        running_task = exports.create_export(app_id)
        wait_for_event(is_held, "the last part of the second export")
        of_second = {each for each in _list_ids() if each.startswith(running_task.task_id)}
        try:
            assert len(_list_ids()) == 2 * (1 + DAYS)
            assert forget_ended_workflows(datetime.now(UTC) - timedelta(days=1)) == 0
            assert forget_ended_workflows(datetime.now(UTC) + timedelta(days=1)) == 1
            assert set(_list_ids()) == of_second
        finally:
            goes_on.set()

        assert exports.end_of(running_task).state is ExportState.SUCCEEDED
    assert len(of_second) == 1 + DAYS


def _list_ids(status: list[str] | None = None) -> list[str]:
    return [each.workflow_id for each in DBOS.list_workflows(status=status)]


def test_as_many_parts_wait_as_all_slots_take(tmp_path: Path) -> None:
    may_go = threading.Event()

    def hold(here: Failpoint) -> None:
        if here is Failpoint.PART_STARTED:
            wait_for_event(may_go, "all parts that are queued at a time")

    with running_day_exports(tmp_path, on_failpoint=hold, PARTS_CONCURRENT=4) as exports:
        task = exports.create_export(exports.create_app("app", days=3 * DAYS))
        try:
            wait_for(lambda: len(_list_ids(sorted(DBOS_UNDER_WAY))) == 1 + 6, "six parts")
        finally:
            may_go.set()

        assert exports.end_of(task).state is ExportState.SUCCEEDED
