"""Tests that counts add up at every step, whoever counts, and are dropped when they are old."""

import sqlalchemy as sa

from engagement.model.points import DAY, EVERYWHERE, HOUR, MINUTE, ChartPoint
from engagement.store.queries.points import KEPT_SECONDS, PointQueries

AT = 1_767_225_600 + 5 * HOUR + 7 * MINUTE + 11
"""Some moment in 2026."""


def _sums(queries: PointQueries, step: int, prefix: str = "accepted.") -> list[ChartPoint]:
    return queries.read(["a", EVERYWHERE], prefix, step=step, start=AT - DAY, end=AT + DAY)


def test_each_step_adds_up_and_keeps_the_highest(engine: sa.Engine) -> None:
    queries = PointQueries(engine)
    for seconds, value in ((0, 3), (10, 9), (MINUTE, 4)):
        queries.add({("a", "accepted.event"): value}, at=AT + seconds)

    minutes, hours, days = (_sums(queries, step) for step in (MINUTE, HOUR, DAY))

    assert [(point.sum, point.high) for point in minutes] == [(12, 9), (4, 4)]
    assert [point.at % MINUTE for point in minutes] == [0, 0]
    assert [(point.sum, point.high) for point in hours] == [(16, 9)]
    assert [(point.sum, point.at % DAY) for point in days] == [(16, 0)]


def test_scopes_and_series_are_kept_apart(engine: sa.Engine) -> None:
    queries = PointQueries(engine)
    counts = {("a", "accepted.event"): 1, ("b", "accepted.event"): 2, ("a", "alive"): 1}
    queries.add(counts, at=AT)

    assert [(point.scope, point.sum) for point in _sums(queries, MINUTE)] == [("a", 1)]
    queries.forget_app("a")
    assert _sums(queries, MINUTE) == []


def test_each_step_is_kept_for_its_time(engine: sa.Engine) -> None:
    queries = PointQueries(engine)
    queries.add({("a", "accepted.event"): 1}, at=AT)

    assert queries.forget(now=AT) == 0
    for step, kept in KEPT_SECONDS.items():
        assert len(_sums(queries, step)) == 1
        assert queries.forget(now=AT + kept + step) == 1
        assert _sums(queries, step) == []
