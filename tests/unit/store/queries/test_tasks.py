"""Tests what the state database keeps of a task, and every way to its end."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engagement.exceptions import (
    ErrorCode,
    InvalidExportError,
    TooManyTasksError,
    UnknownTaskError,
)
from engagement.model.apps import App
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    ExportFormat,
    ExportState,
    ExportType,
    Progress,
)
from engagement.store.app_files import register_first_key
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.tasks import ERROR_DETAILS_CHARACTERS_MAX, TaskQueries
from engagement.store.tables import export_tasks
from support.batches import NOW
from support.home import APP_ID, queued_task
from unit.store.queries.test_plans import SECOND, plan_of, receipt


def test_a_plan_is_kept_once_and_receipts_add_up(engine: sa.Engine) -> None:
    queries, plans = TaskQueries(engine), PlanQueries(engine)
    queries.add(queued_task("1"), sealed_container_url=b"sealed")
    queries.start("1", 1, now=NOW)
    first, second = plan_of(10, 20), plan_of(30, 30, 30)

    assert plans.read_plan("1") is None
    assert plans.keep_plan("1", first) == 2
    assert plans.keep_plan("1", second) == 2
    plans.keep_receipt("1", 0, receipt(7))
    plans.keep_receipt("1", 0, receipt(10))
    plans.keep_receipt("1", 1, receipt(5))

    assert plans.read_plan("1") == first
    assert plans.count_planned_rows("1") == {0: 10, 1: 20}
    assert plans.receipts("1") == {0: receipt(10), 1: receipt(5)}
    assert queries.get("1", now=NOW + 5 * SECOND).progress == Progress(
        parts_total=2,
        parts_done=2,
        rows_total=30,
        rows_done=15,
        bytes_done=150,
        rows_per_second=3.0,
        seconds_left=5.0,
    )


def test_those_who_ask_at_the_same_time_get_no_more_tasks_than_an_app_may_have(
    engine: sa.Engine,
) -> None:
    app = App(app_id=APP_ID, name="n", collection="c", resource_group="g", subscription="s")
    AppQueries(engine).add(register_first_key(app, "k", NOW))
    queries = TaskQueries(engine, app_tasks_max=3)

    def is_added(number: int) -> bool:
        try:
            return queries.add(queued_task(str(number)), sealed_container_url=b"sealed")
        except TooManyTasksError:
            return False

    with ThreadPoolExecutor(6) as threads:
        added = list(threads.map(is_added, range(6)))

    assert sum(added) == len(queries.list_unfinished()) == 3
    queries.cancel(str(added.index(True)), now=NOW)
    assert is_added(6)
    with pytest.raises(TooManyTasksError):
        queries.reopen(queued_task(str(added.index(True))), sealed_container_url=b"sealed")


def test_a_task_is_kept_whole_but_for_its_secret(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    request = ExportRequest(
        app_id=APP_ID,
        export_type=ExportType.PUSH,
        export_format=ExportFormat.CSV,
        campaign_type=CampaignType.POLL,
        campaign_ids=(3, 1),
        csv_formula_guard=True,
        description="what it is for",
    )
    task = replace(queued_task("1"), request=request)

    queries.add(task, sealed_container_url=b"sealed")

    assert queries.get("1", now=NOW) == task
    with pytest.raises(InvalidExportError, match="must not hold its container URL"):
        replace(task, request=replace(request, container_url="file:///tmp"))


def test_tasks_are_listed_newest_first(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    for number in range(4):
        queries.add(
            queued_task(str(number), created_at=number * SECOND),
            sealed_container_url=b"",
        )
    queries.finish("1", 1, ExportState.FAILED, now=NOW)

    listed = queries.list_newest(app_id=APP_ID, limit=3, now=NOW)

    assert [entry.task_id for entry in listed] == ["3", "2", "1"]
    assert queries.list_newest(app_id="b" * 32, limit=3, now=NOW) == []
    assert queries.list_unfinished() == ["0", "2", "3"]


def test_an_unknown_task_is_named(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)

    with pytest.raises(UnknownTaskError, match="'nobody'"):
        queries.get("nobody", now=NOW)
    with pytest.raises(UnknownTaskError, match="'nobody'"):
        PlanQueries(engine).read_export("nobody")
    with pytest.raises(UnknownTaskError, match="'nobody'"):
        queries.is_cancel_requested("nobody")
    assert not queries.cancel("nobody", now=NOW)


def test_long_error_details_are_cut(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    queries.add(queued_task("1"), sealed_container_url=b"")
    queries.finish("1", 1, ExportState.FAILED, now=NOW, error=(ErrorCode.INTERNAL, "é" * 9999))

    details = queries.get("1", now=NOW).error_details
    assert details == "é" * ERROR_DETAILS_CHARACTERS_MAX


FINAL = [state for state in ExportState if state.is_final]


class TaskStates(RuleBasedStateMachine):
    """Every order in which workers, a canceller and a retry may come upon one task.

    A worker may be an earlier attempt's: one that was cancelled while it waited is still queued.
    """

    queries: TaskQueries
    plans: PlanQueries
    numbers = itertools.count(1)

    @initialize()
    def create(self) -> None:
        self.task_id = f"task-{next(self.numbers)}"
        self.queries.add(queued_task(self.task_id), sealed_container_url=b"sealed")
        self.state = ExportState.QUEUED
        self.attempt = 1
        self.is_cancel_requested = False
        self.code: ErrorCode | None = None

    @rule(behind=st.integers(0, 2))
    def start(self, behind: int) -> None:
        may_run = self.queries.start(self.task_id, self.attempt - behind, now=NOW)
        assert may_run is (behind == 0 and not self.state.is_final)
        if may_run:
            self.state = ExportState.STARTED

    @rule()
    def cancel(self) -> None:
        could = self.queries.cancel(self.task_id, now=NOW)
        assert could is not self.state.is_final
        if self.state is ExportState.QUEUED:
            self.state, self.code = ExportState.CANCELLED, ErrorCode.CANCELLED
        elif self.state is ExportState.STARTED:
            self.is_cancel_requested = True

    @rule(
        state=st.sampled_from(FINAL),
        code=st.sampled_from([None, ErrorCode.SAS_EXPIRED]),
        behind=st.integers(0, 2),
    )
    def finish(self, state: ExportState, code: ErrorCode | None, behind: int) -> None:
        moved = self.queries.finish(
            self.task_id,
            self.attempt - behind,
            state,
            now=NOW,
            error=None if code is None else (code, "because"),
        )
        assert moved is (behind == 0 and not self.state.is_final)
        if moved:
            self.state, self.code = state, code

    @rule()
    def reopen(self) -> None:
        reopened = self.queries.reopen(queued_task(self.task_id), sealed_container_url=b"another")
        assert reopened is (self.state in {ExportState.FAILED, ExportState.CANCELLED})
        if reopened:
            self.state, self.code = ExportState.QUEUED, None
            self.attempt += 1
            self.is_cancel_requested = False

    @invariant()
    def is_as_expected(self) -> None:
        found = self.queries.get(self.task_id, now=NOW)
        assert (found.state, found.error_code, found.attempt) == (
            self.state,
            self.code,
            self.attempt,
        )
        assert (found.completed_at is not None) is self.state.is_final
        stored = self.plans.read_export(self.task_id)
        assert (stored.sealed_container_url is None) is self.state.is_final
        assert stored.cancel_requested is self.is_cancel_requested
        assert (self.task_id in self.queries.list_unfinished()) is not self.state.is_final
        assert self.queries.is_cancel_requested(self.task_id) is self.is_cancel_requested


def test_a_task_ends_once_and_its_credential_with_it(engine: sa.Engine) -> None:
    class OnThisDatabase(TaskStates):
        queries = TaskQueries(engine)
        plans = PlanQueries(engine)

    machine = OnThisDatabase.TestCase
    machine.settings = settings(max_examples=25, stateful_step_count=12)
    machine().runTest()


def test_a_code_of_a_newer_release_is_read_as_ours(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    queries.add(queued_task("1"), sealed_container_url=b"sealed")
    queries.finish("1", 1, ExportState.FAILED, now=NOW, error=(ErrorCode.INTERNAL, "Because."))
    with engine.begin() as connection:
        connection.execute(sa.update(export_tasks).values(error_code="CodeOfTomorrow"))

    assert queries.get("1", now=NOW).error_code is ErrorCode.INTERNAL
    assert [task.error_details for task in queries.list_newest(app_id=None, limit=9, now=NOW)] == [
        "Because."
    ]
