"""Tests that a task shows no secret, and why it failed in the class of its code."""

from dataclasses import replace

import pytest

from engagement.exceptions import CancelledError, ErrorCode, InvalidExportError, error_of_code
from engagement.model.exports import ExportState
from support.home import queued_task

TASK = queued_task("1")


def test_a_task_that_holds_its_container_url_cannot_be_built() -> None:
    request = replace(TASK.request, container_url="https://account.example/c?sig=secret")

    with pytest.raises(InvalidExportError) as caught:
        replace(TASK, request=request)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "state",
    [state for state in ExportState if state not in {ExportState.FAILED, ExportState.CANCELLED}],
)
def test_a_task_that_did_not_fail_has_no_error(state: ExportState) -> None:
    assert replace(TASK, state=state).error is None


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_failed_task_has_the_error_of_its_code(code: ErrorCode) -> None:
    error = replace(TASK, state=ExportState.FAILED, error_code=code, error_details="why").error

    assert type(error) is type(error_of_code(code, "why"))
    assert str(error) == "why"


def test_a_task_that_was_cancelled_or_failed_without_words_says_so() -> None:
    cancelled = replace(TASK, state=ExportState.CANCELLED).error
    failed = replace(TASK, state=ExportState.FAILED).error

    assert isinstance(cancelled, CancelledError)
    assert failed is not None
    assert failed.code is ErrorCode.INTERNAL
    assert "1" in str(failed)
