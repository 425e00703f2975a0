"""Puts each session and job whole into one partition, however many days it lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl

from engagement.store.queries.sightings import SightingKey, Span


def place_spans(
    rows: pl.DataFrame, keys: Sequence[SightingKey], known: Mapping[SightingKey, Span]
) -> tuple[pl.DataFrame, list[Span]]:
    """The rows in the partitions of their sessions or jobs, and what is new of these.

    All that is reported of one goes to the day that its first report let it start on. A later
    report has the start that is known, so that a file's statistics tell of the days for which it
    has to be read. One that tells of an earlier start does not move what is there: the statistics
    of its file tell of it.

    Args:
        rows: Folded, so that each has another key; with `start` and `received_at`.
        keys: What each row is known by.
        known: Those that were reported before.

    Returns:
        The rows with their `start` and, as `date`, their partition; and the sessions or jobs that
        are new, or of which something is.
    """
    has_device_time = "device_timestamp" in rows.columns
    device_time = pl.col("device_timestamp") if has_device_time else pl.lit(None).alias("none")
    changed: list[Span] = []
    placed: dict[int, Span] = {}
    """Those that were reported before, by the places of their rows."""
    dated = rows.with_columns(pl.col("start").dt.date().alias("date"))
    moments = dated.select("start", device_time, "date", pl.col("received_at").dt.date())
    for place, (key, moment) in enumerate(zip(keys, moments.iter_rows(), strict=True)):
        start, device_start, day, received_on = moment
        before = known.get(key)
        span = Span(
            key=key, day=day, start=start, device_start=device_start, received_on=received_on
        )
        if before is not None:
            first = min(before, span, key=_first_start)
            span = replace(first, day=before.day, received_on=max(before.received_on, received_on))
            placed[place] = span
        if span != before:
            changed.append(span)
    if not placed:
        return dated, changed
    columns: dict[str, list[Any]] = {
        "start": [span.start for span in placed.values()],
        "date": [span.day for span in placed.values()],
    }
    if has_device_time:
        columns["device_timestamp"] = [span.device_start for span in placed.values()]
    places = list(placed)
    return (
        dated.with_columns(
            dated[name].scatter(places, pl.Series(values, dtype=dated.schema[name]))
            for name, values in columns.items()
        ),
        changed,
    )


def _first_start(span: Span) -> tuple[datetime, datetime]:
    return span.start, span.device_start or span.start
