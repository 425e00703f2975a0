"""Tests that a state database says of a move what keeps it from being opened."""

import pytest
import sqlalchemy as sa

from engagement.exceptions import ServiceMovedError
from engagement.store.moves import MoveMark, MoveReport
from engagement.store.queries.installation import InstallationQueries


@pytest.fixture
def mark(engine: sa.Engine) -> MoveMark:
    return MoveMark(InstallationQueries(engine))


def report(target: str) -> MoveReport:
    return MoveReport(target=target, tables=(), state_rows=3, waiting=2, files=1, bytes=10)


def test_nothing_is_said_where_no_move_was_begun(mark: MoveMark) -> None:
    mark.require_none()

    assert mark.read() is None


def test_a_move_that_was_begun_can_be_begun_again_to_the_same_place_alone(mark: MoveMark) -> None:
    mark.begin("there")
    mark.begin("there")

    with pytest.raises(ServiceMovedError, match="to there was begun"):
        mark.begin("elsewhere")
    with pytest.raises(ServiceMovedError, match="to there was begun"):
        mark.require_none()


def test_a_move_that_has_ended_keeps_what_was_moved(mark: MoveMark) -> None:
    mark.begin("there")
    mark.finish(report("there"))

    move = mark.read()

    assert move is not None
    assert move.report == report("there")
    with pytest.raises(ServiceMovedError, match="was moved to there"):
        mark.require_none()


def test_a_move_that_is_forgotten_hinders_nobody(mark: MoveMark) -> None:
    mark.begin("there")
    mark.forget()

    mark.require_none()
