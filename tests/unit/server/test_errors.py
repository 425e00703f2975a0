"""Tests which answer an exception becomes, and that faults of ours say nothing more."""

import errno
import json

import pytest
from starlette.exceptions import HTTPException

from engagement import exceptions
from engagement.exceptions import (
    DatabaseDamagedError,
    EngagementError,
    OverloadedError,
    StorageFullError,
)
from engagement.server.errors import (
    MESSAGE_CHARACTERS_MAX,
    RETRY_SECONDS,
    STATUSES,
    Problem,
    answer_to,
    invalid_fields,
)


@pytest.mark.parametrize(("kind", "status"), STATUSES)
def test_an_error_is_answered_with_its_status_code_and_words(
    kind: type[EngagementError], status: int
) -> None:
    error = kind("why")
    answer = answer_to(error)

    assert answer.status_code == status
    content = json.loads(bytes(answer.body))
    assert content == {"error": {"code": error.code.value, "message": "why"}}
    assert ("retry-after" in answer.headers) is (status in {429, 503, 507})


@pytest.mark.parametrize("error", [ValueError("secret"), exceptions.LakeDamagedError("secret")])
def test_a_fault_of_ours_says_nothing_more(error: Exception) -> None:
    answer = answer_to(error)

    assert answer.status_code == 500
    assert b"secret" not in bytes(answer.body)


def test_a_queue_is_empty_sooner_than_a_disk() -> None:
    overload, full = answer_to(OverloadedError("")), answer_to(StorageFullError(""))

    assert int(overload.headers["retry-after"]) < int(full.headers["retry-after"])


def test_an_app_with_too_many_tasks_is_told_to_come_again() -> None:
    answer = answer_to(exceptions.TooManyTasksError("why"))

    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(RETRY_SECONDS))
    assert json.loads(bytes(answer.body))["error"]["code"] == "TooManyTasks"


def test_what_http_itself_says_has_the_same_shape() -> None:
    problem = answer_to(Problem(408, "RequestTimeout", "why", {"x-more": "1"}))
    other = answer_to(HTTPException(405))

    assert (problem.status_code, problem.headers["x-more"]) == (408, "1")
    assert json.loads(bytes(problem.body))["error"]["code"] == "RequestTimeout"
    assert json.loads(bytes(other.body))["error"]["code"] == "MethodNotAllowed"


def test_a_message_has_an_end() -> None:
    answer = answer_to(exceptions.BadInputError("x" * 9_999))

    assert len(json.loads(bytes(answer.body))["error"]["message"]) == MESSAGE_CHARACTERS_MAX


def test_wrong_fields_are_named_but_no_value_is_repeated() -> None:
    problem = invalid_fields(
        [
            {"loc": ("body", "columns", 0), "msg": "must be text", "input": "secret"},
            {"loc": ("body", "sig=a secret?"), "msg": "is unknown"},
            {"loc": (), "msg": "is no JSON"},
        ]
    )

    assert problem.status_code == 400
    assert "columns.a field (body): must be text" in problem.detail or (
        "columns.0 (body): must be text" in problem.detail
    )
    assert "a field (body): is unknown" in problem.detail
    assert "the body (request): is no JSON" in problem.detail
    assert "secret" not in problem.detail


def test_a_full_disk_is_answered_as_one_whoever_met_it() -> None:
    answer = answer_to(OSError(errno.ENOSPC, "No space left on device"))

    assert answer.status_code == 507
    assert json.loads(bytes(answer.body))["error"]["code"] == "StorageFull"


def test_a_damaged_database_is_named_to_clients() -> None:
    answer = answer_to(DatabaseDamagedError("The database state.db is damaged."))

    assert answer.status_code == 503
    assert json.loads(bytes(answer.body))["error"]["code"] == "DatabaseDamaged"
