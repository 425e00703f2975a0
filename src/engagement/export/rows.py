"""This module reads the rows of a part: one lazy query for counting and for writing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from engagement.export.json_text import joined, json_string
from engagement.export.plan import Part
from engagement.model.exports import (
    FEEDBACK_STATUSES,
    CampaignType,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.folds import FOLD_KEYS, fold
from engagement.store.lake import Lake, in_devices
from engagement.store.schemas import file_schema, sort_columns

ONE_DAY = timedelta(days=1)
"""A session whose id is active on consecutive UTC days starts on the first of them and ends at
the latest on the day after it, so a day's sessions depend on its two neighbours alone."""


_Others = Callable[[Kind], pl.LazyFrame]
"""The changes that another table holds of the part's devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows an export delivers, out of what its plan has pinned."""

    app_id: str
    """The app."""
    export_type: ExportType
    """What is delivered."""
    time_range: TimeRange | None = None
    """History: the asked range."""
    time_axis: TimeAxis = TimeAxis.EVENT
    """History: which time the range is about; of a session, the last that it was received at."""
    event_names: tuple[str, ...] = ()
    """History: only records with one of these names; all if empty."""
    as_of: datetime | None = None
    """Snapshots: leave out what was received later."""
    campaign_type: CampaignType | None = None
    """Push: the campaigns' type."""
    campaign_ids: tuple[int, ...] = ()
    """Push: the campaigns."""


def part_rows(lake: Lake, selection: Selection, part: Part) -> pl.LazyFrame:
    """The rows of a part, each once, the same in every run; not sorted unless folded."""
    kind = selection.export_type.kind
    changes = _changes(lake, selection, part, kind)
    if selection.export_type is ExportType.SESSION:
        return _sessions(changes, selection, part)
    if kind.is_historical:
        return _asked(changes, kind, selection)
    others: _Others = partial(_changes, lake, selection, part)
    return _SNAPSHOTS[kind](changes, selection, others)


def part_slices(lake: Lake, selection: Selection, part: Part) -> Iterator[pl.LazyFrame]:
    """The rows of `part_rows` in the order of the files, in slices that fit into memory.

    What has to be folded comes as one slice; its memory is bounded by the rows of the part.
    """
    kind = selection.export_type.kind
    if kind in FOLD_KEYS:
        yield part_rows(lake, selection, part)
        return
    for rows in lake.slices(
        selection.app_id,
        kind,
        part.files.get(kind, ()),
        device_from=part.device_from,
        device_to=part.device_to,
    ):
        yield _asked(rows, kind, selection)


def campaigns_in_window(
    lake: Lake, selection: Selection, paths: Mapping[Kind, tuple[str, ...]]
) -> tuple[int, ...]:
    """The campaigns of the selection's type that got feedback inside its range, ascending."""
    if not paths.get(Kind.FEEDBACK):
        return ()
    feedback = lake.scan(selection.app_id, Kind.FEEDBACK, paths[Kind.FEEDBACK])
    window = _within(feedback, TIME_COLUMN[Kind.FEEDBACK], selection.time_range)
    of_type = pl.col("campaign_type") == selection.campaign_type
    found = window.filter(of_type).select(pl.col("campaign_id").unique().sort()).collect()
    return tuple(found["campaign_id"])


def _changes(lake: Lake, selection: Selection, part: Part, kind: Kind) -> pl.LazyFrame:
    """What the part's files say of its device ids, up to the asked instant."""
    paths = part.files.get(kind, ())
    if not paths:
        return pl.LazyFrame(schema=file_schema(kind))
    rows = lake.scan(selection.app_id, kind, paths)
    rows = in_devices(rows, part.device_from, part.device_to)
    if selection.as_of is not None:
        rows = rows.filter(pl.col("received_at") <= selection.as_of)
    return rows


def _asked(rows: pl.LazyFrame, kind: Kind, selection: Selection) -> pl.LazyFrame:
    """The rows of history that were asked for; whole days were chosen by their files already."""
    span = selection.time_range
    if selection.event_names:
        rows = rows.filter(pl.col("name").is_in(selection.event_names))
    if selection.time_axis is TimeAxis.RECEIVED:
        return _within(rows, "received_at", span)
    if span is not None and span.is_whole_days:
        return rows
    return _within(rows, TIME_COLUMN[kind], span)


def _within(rows: pl.LazyFrame, column: str, span: TimeRange | None) -> pl.LazyFrame:
    if span is None:
        return rows
    return rows.filter(pl.col(column) >= span.start, pl.col(column) < span.end)


def _sessions(changes: pl.LazyFrame, selection: Selection, part: Part) -> pl.LazyFrame:
    """The sessions that start in the part's days, each whole."""
    key = ["device_id", "session_id"]
    day = pl.col("start").dt.date()
    days = fold(Kind.SESSION, changes).sort(*key, "start").with_columns(day.alias("day"))
    continues = pl.col("day").shift(1).over(key) == pl.col("day") - ONE_DAY
    goes_on = pl.col("day").shift(-1).over(key) == pl.col("day") + ONE_DAY
    is_received = selection.time_axis is TimeAxis.RECEIVED
    grown = ["end", "received_at"] if is_received else ["end"]
    later = {name: pl.when(goes_on).then(pl.col(name).shift(-1).over(key)) for name in grown}
    return (
        days.with_columns(
            continues.fill_null(value=False).alias("continues"),
            *(pl.max_horizontal(name, late).alias(name) for name, late in later.items()),
        )
        .filter(~pl.col("continues"), pl.col("day").is_between(part.first_day, part.last_day))
        .pipe(_within, "received_at" if is_received else "start", selection.time_range)
        .select(file_schema(Kind.SESSION).keys())
        .sort(sort_columns(Kind.SESSION))
    )


def _tags(changes: pl.LazyFrame, selection: Selection, others: _Others) -> pl.LazyFrame:
    """The latest value of each tag that is not deleted; all of a device name its last user."""
    del selection, others
    user = pl.col("user_id").sort_by("set_at", "sequence").drop_nulls().last().over("device_id")
    latest = fold(Kind.TAG, changes).with_columns(user)
    return latest.filter(pl.col("value").is_not_null()).sort("device_id", "key")


def _tokens(changes: pl.LazyFrame, selection: Selection, others: _Others) -> pl.LazyFrame:
    """Each device's latest token, if it is valid."""
    del selection, others
    return fold(Kind.TOKEN, changes).filter("valid")


def _feedback(changes: pl.LazyFrame, selection: Selection, others: _Others) -> pl.LazyFrame:
    """The set of flags of each device and campaign, in the order of the published schema."""
    del others
    asked = changes.filter(
        pl.col("campaign_type") == selection.campaign_type,
        pl.col("campaign_id").is_in(selection.campaign_ids),
    )
    return (
        fold(Kind.FEEDBACK, asked)
        .sort("occurred_at", "sequence")
        .group_by("device_id", "campaign_type", "campaign_id")
        .agg(
            pl.col("user_id").drop_nulls().last(),
            pl.col("occurred_at").max(),
            pl.col("sequence").max(),
            pl.col("status").cast(pl.Enum(FEEDBACK_STATUSES)).unique().sort().cast(pl.String()),
        )
        .sort("device_id", "campaign_id")
    )


def _devices(changes: pl.LazyFrame, selection: Selection, others: _Others) -> pl.LazyFrame:
    """Each device as it was last seen, with its tags and whether it can be pushed to."""
    tags = _tags(others(Kind.TAG), selection, others)
    app_info = (
        tags.group_by("device_id", maintain_order=True)
        .agg(joined([json_string("key"), ":", json_string("value")]).alias("members"))
        .select("device_id", joined(["{", pl.col("members").list.join(","), "}"]).alias("app_info"))
    )
    pushable = _tokens(others(Kind.TOKEN), selection, others).select(
        "device_id", pl.lit(value=True).alias("native_push_enabled")
    )
    milliseconds = {
        "first_seen": "first_seen_at",
        "last_seen": "seen_at",
        "last_info": "info_at",
        "last_location": "location_at",
    }
    return (
        fold(Kind.DEVICE, changes)
        .join(app_info, on="device_id", how="left")
        .join(pushable, on="device_id", how="left")
        .with_columns(
            pl.col("native_push_enabled").fill_null(value=False),
            *(pl.col(column).dt.epoch("ms").alias(name) for name, column in milliseconds.items()),
        )
        .sort("device_id")
    )


_SNAPSHOTS = {
    Kind.DEVICE: _devices,
    Kind.TAG: _tags,
    Kind.TOKEN: _tokens,
    Kind.FEEDBACK: _feedback,
}
