"""Tests what becomes of exports whose container does not recover."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted import Answer, ScriptedServer, scripted

from engagement import operations
from engagement.deliver.containers import RETRIES_MAX
from engagement.error_codes import ErrorCode
from engagement.export.workflow import PARTS_AHEAD_MIN
from engagement.model.exports import ExportState
from support.day_exports import running_day_exports
from support.waiting import wait_for

DAYS = 7
SAS = "sv=2022-11-02&se=2099-01-01T00%3A00%3A00Z&sr=c&sp=cw&sig=c2lnbmF0dXJl"


@pytest.fixture
def down() -> Iterator[ScriptedServer]:
    """A container that takes what a new export tries it with, and answers 503 from then on."""
    with scripted(Answer(status=503, code="ServerBusy"), accepted=1) as server:
        yield server


def _url(server: ScriptedServer) -> str:
    return f"{server.endpoint}/account/container?{SAS}"


def test_an_export_to_a_container_that_stays_away_ends(
    down: ScriptedServer, tmp_path: Path
) -> None:
    with running_day_exports(tmp_path, RETRY_SECONDS=1, PARTS_CONCURRENT=1) as exports:
        app_id = exports.create_app("app", days=DAYS)
        task = exports.end_of(exports.create_export(app_id, _url(down)))

    assert (task.state, task.error_code) == (
        ExportState.FAILED,
        ErrorCode.DESTINATION_THROTTLED,
    )
    tries = [call.target.partition("?")[0] for call in down.calls if "part-" in call.target]
    assert len(set(tries)) <= PARTS_AHEAD_MIN
    assert len(tries) <= 2 * PARTS_AHEAD_MIN * (1 + RETRIES_MAX)


def test_an_export_waits_for_its_container_outside_of_the_slots_of_parts(
    down: ScriptedServer, tmp_path: Path
) -> None:
    with running_day_exports(tmp_path, PARTS_CONCURRENT=1) as exports:
        held_up = exports.create_export(exports.create_app("held up", days=DAYS), _url(down))
        wait_for(lambda: len(down.calls) > 1 + RETRIES_MAX, "a part that is tried again")
        other = exports.create_export(exports.create_app("other", days=DAYS))

        assert exports.end_of(other).state is ExportState.SUCCEEDED
        now = operations.get_export(exports.runtime, held_up.task_id)
        assert now.state is ExportState.STARTED
        operations.cancel_export(exports.runtime, held_up.task_id)
        assert exports.end_of(held_up).state is ExportState.CANCELLED
