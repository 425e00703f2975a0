"""Tests that the engine stops without a word about what has ended."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from dbos._sys_db import SystemDatabase

from engagement.model.exports import ExportType
from support.waiting import WAIT_SECONDS_MAX
from support.whole_service import export_all, register_app, running


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
