"""Keeps what charts are drawn from."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from engagement.model.points import DAY, EVERYWHERE, HOUR, MINUTE, STEPS, ChartPoint
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import points

KEPT_SECONDS: Mapping[int, int] = {MINUTE: 2 * DAY, HOUR: 90 * DAY, DAY: 730 * DAY}
FORGOTTEN_AT_ONCE = 10_000
_KEY = ("scope", "series", "step", "at")


class PointQueries:
    """Counts and levels, by scope, series, step and moment."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._add = _adding(insert_into(points, engine.dialect.name))

    def add(self, counts: Mapping[tuple[str, str], int], *, at: int) -> None:
        """Add what was counted at a moment to its steps, whoever else counts too.

        What an app counts is added to all apps together as well, but for an app's own series.
        """
        rows = [
            {"scope": scope, "series": series, "step": step, "at": at - at % step}
            | {"sum": value, "high": value}
            for (scope, series), value in sorted(counts.items())
            for step in STEPS
        ]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(self._add, rows)

    def read(
        self, scopes: Sequence[str], prefix: str, *, step: int, start: int, end: int
    ) -> list[ChartPoint]:
        """What the series that begin so have in steps from a moment to before another."""
        c = points.c
        query = (
            sa.select(c.scope, c.series, c.at, c.sum, c.high)
            .where(c.scope.in_(scopes), c.step == step, c.at >= start, c.at < end)
            .where(c.series >= prefix, c.series < prefix + "\U0010ffff")
            .order_by(c.series, c.at)
        )
        with self._reading.begin() as connection:
            return [ChartPoint(**row) for row in connection.execute(query).mappings()]

    def forget(self, *, now: int) -> int:
        """Drop what is older than its step is kept, a limited part of it; how much."""
        dropped = 0
        for step, kept in KEPT_SECONDS.items():
            old = (
                sa.select(*(points.c[name] for name in _KEY))
                .where(points.c.step == step, points.c.at < now - kept)
                .limit(FORGOTTEN_AT_ONCE)
            )
            key = sa.tuple_(*(points.c[name] for name in _KEY))
            with self._engine.begin() as connection:
                dropped += connection.execute(points.delete().where(key.in_(old))).rowcount
        return dropped

    def forget_app(self, app_id: str) -> None:
        """Drop what was counted of an app; all apps together keep their counts."""
        if app_id != EVERYWHERE:
            with self._engine.begin() as connection:
                connection.execute(points.delete().where(points.c.scope == app_id))


def _adding(insert: Any) -> Any:
    highest = sa.case(
        (points.c.high > insert.excluded.high, points.c.high), else_=insert.excluded.high
    )
    return insert.on_conflict_do_update(
        index_elements=_KEY,
        set_={"sum": points.c.sum + insert.excluded.sum, "high": highest},
    )
