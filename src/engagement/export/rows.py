"""Reads the rows of a part: one lazy query for counting and for writing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

import polars as pl

from engagement.export.json_text import join_pieces, json_string
from engagement.model.exports import (
    FEEDBACK_STATUSES,
    CampaignType,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.model.plan import Part
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, TIME_COLUMN, Kind
from engagement.store.data_files import day_of_path
from engagement.store.folds import fold
from engagement.store.lake import Lake
from engagement.store.ranges import in_range, within_range
from engagement.store.schemas import file_schema
from engagement.store.snapshots import name_users, valid_tokens


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
    include_device_timestamp: bool = False
    """History: with the device's own time of each record."""


def part_rows(lake: Lake, selection: Selection, part: Part) -> pl.LazyFrame:
    """The rows of a part, each once, the same in every run; not sorted unless folded."""
    kind = selection.export_type.kind
    tables = _Tables(lake, selection, part)
    if kind in SPAN_KINDS:
        return _asked(tables.spans(kind), kind, selection)
    if kind.is_historical:
        return _asked(tables.changes(kind), kind, selection)
    return _SNAPSHOTS[kind](tables, selection)


def part_slices(lake: Lake, selection: Selection, part: Part) -> Iterator[pl.LazyFrame]:
    """The rows of `part_rows` in the order of the files, in slices that fit into memory.

    What has to be folded comes as one slice; its memory is bounded by the rows of the part. There
    is at least one slice, so that its columns are known where there are no rows.
    """
    kind = selection.export_type.kind
    is_streamed = kind.is_historical and (kind not in SPAN_KINDS or part.is_folded)
    paths = part.files.get(kind, ())
    if not is_streamed or not paths:
        yield part_rows(lake, selection, part)
        return
    for rows in lake.slices(selection.app_id, kind, paths, part):
        yield _asked(rows, kind, selection)


def campaigns_in_window(
    lake: Lake, selection: Selection, paths: Mapping[Kind, tuple[str, ...]]
) -> tuple[int, ...]:
    """The campaigns of the selection's type that were under way in its range, ascending.

    A campaign is under way from its first feedback to its last, of whatever device and flag.
    """
    span = selection.time_range
    if span is None or not paths.get(Kind.FEEDBACK):
        return ()
    feedback = lake.scan(selection.app_id, Kind.FEEDBACK, paths[Kind.FEEDBACK])
    found = (
        _until(feedback, selection.as_of)
        .filter(pl.col("campaign_type") == selection.campaign_type)
        .group_by("campaign_id")
        .agg(
            pl.coalesce("first_at", "occurred_at").min().alias("first"),
            pl.col("occurred_at").max().alias("last"),
        )
        .filter(pl.col("first") < span.end, pl.col("last") >= span.start)
        .sort("campaign_id")
        .collect(engine="streaming")
    )
    return tuple(found["campaign_id"])


class _Tables:
    """What a part reads of the tables that its plan has pinned."""

    def __init__(self, lake: Lake, selection: Selection, part: Part) -> None:
        self._lake = lake
        self._selection = selection
        self._part = part

    def changes(self, kind: Kind) -> pl.LazyFrame:
        """What is said of the part's ids, up to the asked instant."""
        rows = self.everywhere(kind)
        if kind in CONTENT_KINDS:
            low, high = self._part.device_from, self._part.device_to
            return in_range(rows, CONTENT_KINDS[kind], low, high)
        return within_range(rows, kind, self._part)

    def everywhere(self, kind: Kind) -> pl.LazyFrame:
        """What all of the part's files say, up to the asked instant."""
        paths = self._part.files.get(kind, ())
        if not paths:
            return pl.LazyFrame(schema=file_schema(kind))
        return _until(self._scan(kind, paths), self._selection.as_of)

    def spans(self, kind: Kind) -> pl.LazyFrame:
        """The sessions or jobs of the part's days, each whole.

        All of one lies in one day's files. One that was silent so long that it was forgotten may
        have begun anew on another day, so days are not folded together.
        """
        days: dict[date, list[str]] = {}
        for path in self._part.files.get(kind, ()):
            days.setdefault(day_of_path(path), []).append(path)
        of_days = [
            self._scan(kind, paths).with_columns(pl.lit(day).alias("date"))
            for day, paths in sorted(days.items())
            if self._is_in_part(day)
        ]
        if not of_days:
            return pl.LazyFrame(schema=file_schema(kind))
        changes = within_range(pl.concat(of_days), kind, self._part)
        folded = changes if self._part.is_folded else fold(kind, changes, within=["date"])
        return folded.drop("date")

    def _is_in_part(self, day: date) -> bool:
        """Not so of days that a plan names from before each held its sessions whole."""
        first, last = self._part.first_day, self._part.last_day
        return first is None or last is None or first <= day <= last

    def _scan(self, kind: Kind, paths: Sequence[str]) -> pl.LazyFrame:
        return self._lake.scan(self._selection.app_id, kind, paths)


def _until(rows: pl.LazyFrame, as_of: datetime | None) -> pl.LazyFrame:
    return rows if as_of is None else rows.filter(pl.col("received_at") <= as_of)


def _asked(rows: pl.LazyFrame, kind: Kind, selection: Selection) -> pl.LazyFrame:
    """The rows of history that were asked for; whole days were chosen by their files already."""
    span = selection.time_range
    if selection.event_names:
        rows = rows.filter(pl.col("name").is_in(selection.event_names))
    if selection.include_device_timestamp:
        kept = pl.coalesce("device_timestamp", TIME_COLUMN[kind])
        rows = rows.with_columns(kept.alias("device_timestamp"))
    if selection.time_axis is TimeAxis.RECEIVED:
        return _within(rows, "received_at", span)
    if span is not None and span.is_whole_days and kind not in SPAN_KINDS:
        return rows
    return _within(rows, TIME_COLUMN[kind], span)


def _within(rows: pl.LazyFrame, column: str, span: TimeRange | None) -> pl.LazyFrame:
    if span is None:
        return rows
    return rows.filter(pl.col(column) >= span.start, pl.col(column) < span.end)


def _tags(tables: _Tables, _: Selection) -> pl.LazyFrame:
    """The latest value of each tag that is not deleted, with the user of its device."""
    return name_users(_latest_tags(tables), tables.changes(Kind.DEVICE)).sort("device_id", "key")


def _latest_tags(tables: _Tables) -> pl.LazyFrame:
    return fold(Kind.TAG, tables.changes(Kind.TAG)).filter(pl.col("value").is_not_null())


def _tokens(tables: _Tables, _: Selection) -> pl.LazyFrame:
    """The tokens that reach devices, each with the user of its device."""
    tokens = valid_tokens(tables.changes(Kind.TOKEN), tables.everywhere(Kind.TOKEN))
    return name_users(tokens, tables.changes(Kind.DEVICE)).sort("device_id", "type")


def _feedback(tables: _Tables, selection: Selection) -> pl.LazyFrame:
    """The set of flags of each device and campaign, in the order of the published schema."""
    of_campaigns = tables.changes(Kind.FEEDBACK).filter(
        pl.col("campaign_type") == selection.campaign_type,
        pl.col("campaign_id").is_in(selection.campaign_ids),
    )
    flags = (
        fold(Kind.FEEDBACK, of_campaigns)
        .group_by("device_id", "campaign_type", "campaign_id")
        .agg(
            pl.col("user_id").last(),
            pl.col("occurred_at").max(),
            pl.col("received_at").max(),
            pl.col("sequence").max(),
            pl.col("record_id").last(),
            pl.col("status").cast(pl.Enum(FEEDBACK_STATUSES)).unique().sort().cast(pl.String()),
        )
    )
    return name_users(flags, tables.changes(Kind.DEVICE)).sort("device_id", "campaign_id")


def _devices(tables: _Tables, _: Selection) -> pl.LazyFrame:
    """Each device as it was last seen, with its tags and whether it can be pushed to."""
    app_info = (
        _latest_tags(tables)
        .sort("device_id", "key")
        .group_by("device_id", maintain_order=True)
        .agg(join_pieces([json_string("key"), ":", json_string("value")]).alias("members"))
        .select(
            "device_id", join_pieces(["{", pl.col("members").list.join(","), "}"]).alias("app_info")
        )
    )
    tokens = valid_tokens(tables.changes(Kind.TOKEN), tables.everywhere(Kind.TOKEN))
    pushable = tokens.select(
        pl.col("device_id").unique(), pl.lit(value=True).alias("native_push_enabled")
    )
    milliseconds = {
        "first_seen": "first_seen_at",
        "last_seen": "seen_at",
        "last_info": "info_at",
        "last_location": "location_at",
    }
    return (
        fold(Kind.DEVICE, tables.changes(Kind.DEVICE))
        .join(app_info, on="device_id", how="left")
        .join(pushable, on="device_id", how="left")
        .with_columns(
            pl.col("native_push_enabled").fill_null(value=False),
            *(pl.col(column).dt.epoch("ms").alias(name) for name, column in milliseconds.items()),
        )
        .sort("device_id")
    )


def _contents(kind: Kind, tables: _Tables, _: Selection) -> pl.LazyFrame:
    """Each information or location that any device told, as it was received first."""
    content_id = CONTENT_KINDS[kind]
    ordered = tables.changes(kind).sort(content_id, "received_at", "sequence")
    return ordered.unique(content_id, keep="first", maintain_order=True)


_SNAPSHOTS: dict[Kind, Callable[[_Tables, Selection], pl.LazyFrame]] = {
    Kind.DEVICE: _devices,
    Kind.TAG: _tags,
    Kind.TOKEN: _tokens,
    Kind.FEEDBACK: _feedback,
    Kind.INFO: partial(_contents, Kind.INFO),
    Kind.LOCATION: partial(_contents, Kind.LOCATION),
}
