"""Tests that an error is the same to whoever asked, whatever process and line it came over."""

from collections.abc import Iterator
from multiprocessing import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement import exceptions
from engagement.cli.exit_statuses import exit_status
from engagement.client.refusals import refusal
from engagement.client.responses import HttpResponse
from engagement.exceptions import (
    DestinationError,
    EngagementError,
    ErrorCode,
    InvalidContainerError,
    Retryable,
    TransientDestinationError,
    class_of_code,
    decode_error,
    encode_error,
)
from engagement.server.errors import answer_to
from engagement.worker.messages import Reply, decode_reply, encode_reply

CLASSES = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, EngagementError)
]


def every_error() -> Iterator[EngagementError]:
    """Every class with its own code, every code in its class, and those that share a code."""
    for kind in CLASSES:
        yield kind("Because.")
    for code in ErrorCode:
        kind = class_of_code(code)
        yield kind("Because.", code=code)
        if issubclass(kind, DestinationError):
            yield DestinationError("Because.", code=code)
            yield TransientDestinationError("Because.", code=code)
            yield InvalidContainerError("Because.", code=code)  # a SAS that says so itself


def name_of(error: EngagementError) -> str:
    """What a test is called after."""
    return f"{type(error).__name__}-{error.code}"


def answer_of(error: EngagementError) -> HttpResponse:
    """What a client gets to see of an error."""
    response = answer_to(error)
    return HttpResponse(
        status=response.status_code, headers=dict(response.headers), body=bytes(response.body)
    )


def through_the_worker(error: EngagementError) -> EngagementError:
    """The error as the server has it when it was raised in the worker."""
    ours, theirs = Pipe()
    with ours, theirs:
        theirs.send_bytes(encode_reply(Reply(number=7, error=error)))
        reply = decode_reply(ours.recv_bytes())
    assert reply.number == 7
    assert reply.error is not None
    return reply.error


@pytest.mark.parametrize("error", list(every_error()), ids=name_of)
def test_an_error_of_the_worker_is_answered_as_one_of_this_process(error: EngagementError) -> None:
    found = through_the_worker(error)

    assert (type(found), found.code, str(found)) == (type(error), error.code, str(error))
    assert isinstance(found, Retryable) == isinstance(error, Retryable)
    assert answer_of(found) == answer_of(error)
    assert exit_status(found) == exit_status(error)


@pytest.mark.parametrize("error", list(every_error()), ids=name_of)
def test_a_command_ends_at_a_server_as_it_ends_here(error: EngagementError) -> None:
    answer = answer_of(error)

    found = refusal(answer)

    assert exit_status(found) == exit_status(error)
    assert ("retry-after" in answer.headers) == (answer.status in {429, 503, 507})
    if answer.status != 500:
        assert (found.code, str(found)) == (error.code, str(error))


def test_a_full_disk_that_the_worker_met_is_told_with_when_to_come_again() -> None:
    answer = answer_of(through_the_worker(exceptions.StorageFullError("It is full.")))

    assert (answer.status, answer.headers["retry-after"]) == (507, "5")


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"class": "NewError", "code": "New"}, EngagementError, ErrorCode.INTERNAL),
        ({"class": "BadInputError", "code": "New"}, exceptions.BadInputError, ErrorCode.BAD_INPUT),
        ({"class": "NewError", "code": "HomeBusy"}, exceptions.HomeBusyError, ErrorCode.HOME_BUSY),
        ({"class": ["x"], "code": 7}, EngagementError, ErrorCode.INTERNAL),
        ({}, EngagementError, ErrorCode.INTERNAL),
    ],
)
def test_what_a_newer_release_names_is_no_failure_of_the_reader(
    fields: dict[str, object], kind: type[EngagementError], code: ErrorCode
) -> None:
    found = decode_error({**fields, "message": "Because."})

    assert (type(found), found.code, str(found)) == (kind, code, "Because.")


@given(message=st.text(), kind=st.sampled_from(CLASSES), code=st.sampled_from(ErrorCode))
def test_an_encoded_error_is_the_same_again(
    message: str, kind: type[EngagementError], code: ErrorCode
) -> None:
    found = decode_error(encode_error(kind(message, code=code)))

    assert (type(found), found.code, str(found)) == (kind, code, message)
