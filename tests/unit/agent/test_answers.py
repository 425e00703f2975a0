"""Tests what a server's answer means for the batch that it got."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.agent.answers import (
    UNACCEPTABLE_STATUSES,
    Accepted,
    Unacceptable,
    Unanswered,
    read_outcome,
)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("status", sorted(UNACCEPTABLE_STATUSES))
def test_a_batch_that_no_server_will_accept_is_lost_as_a_whole(status: int) -> None:
    outcome = read_outcome(
        status, "", body(error={"code": "BadInput", "message": "why"}), records=3
    )

    assert isinstance(outcome, Unacceptable)
    assert outcome.loss.code == f"batch_refused_{status}"
    assert "why" in outcome.loss.message


@given(
    st.integers(100, 599).filter(lambda status: status not in {*UNACCEPTABLE_STATUSES, 202}),
    st.binary(max_size=50),
)
def test_any_other_status_says_nothing_about_the_batch(status: int, content: bytes) -> None:
    assert isinstance(read_outcome(status, "", content, records=1), Unanswered)


@given(st.binary(max_size=50))
def test_an_answer_that_is_no_servers_of_ours_is_no_answer(content: bytes) -> None:
    outcome = read_outcome(202, "", content, records=1)

    assert isinstance(outcome, Unanswered)


def test_a_pause_that_the_server_wants_is_kept() -> None:
    outcome = read_outcome(503, "7", b"", records=1)

    assert isinstance(outcome, Unanswered)
    assert outcome.seconds == 7


def test_a_batch_without_refusals_is_accepted_whole() -> None:
    outcome = read_outcome(202, "", body(accepted=2, refused=[]), records=2)

    assert outcome == Accepted(losses=())
