"""Folds changes into the rows they amount to: one fold a kind, the same everywhere.

Devices, tags, tokens, feedback, sessions and jobs are appended as changes. A flush folds its own
changes before it writes, upkeep folds old ones, and an export folds what it reads; folding twice
gives what folding once gives.
"""

from collections.abc import Callable, Iterable

import polars as pl

from engagement.model.records import INFO_COLUMNS, JOB_TOLD_BY, LOCATION_COLUMNS, Kind
from engagement.store.schemas import file_schema, sort_columns

FOLD_KEYS: dict[Kind, tuple[str, ...]] = {
    Kind.DEVICE: ("device_id",),
    Kind.TAG: ("device_id", "key"),
    Kind.TOKEN: ("device_id", "type", "token", "valid"),
    Kind.FEEDBACK: ("device_id", "campaign_type", "campaign_id", "status"),
    Kind.SESSION: ("device_id", "session_id"),
    Kind.JOB: ("device_id", "job_id"),
}
"""Which columns name the thing that changes. Of a token the last registration and the last taking
back are both kept: only together they tell whether it counts, whatever comes in later."""

_KNOWN: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "user_at"),
    "info": ("info_id", "info_at", *(column.name for column in INFO_COLUMNS)),
    "location": ("location_id", "location_at", *(column.name for column in LOCATION_COLUMNS)),
}
"""What a batch may leave unsaid, each with when it was said: the last that said it counts."""
_KNOWN_COLUMNS = frozenset(name for names in _KNOWN.values() for name in names)


def fold(kind: Kind, changes: pl.LazyFrame, *, within: Iterable[str] = ()) -> pl.LazyFrame:
    """The rows that the changes amount to, sorted; kinds without a fold come back sorted.

    Args:
        kind: Which fold.
        changes: Columns of `store.schemas.file_schema`, in any order of rows.
        within: More columns, which must be equal in all changes of a row; they are kept.
    """
    if kind not in FOLD_KEYS:
        return changes.sort(sort_columns(kind))
    keys = [*FOLD_KEYS[kind], *within]
    rest = [name for name in file_schema(kind) if name not in keys]
    ordered = changes.sort(sort_columns(kind))
    folded = ordered.group_by(keys, maintain_order=True).agg(_AGGREGATES[kind](rest))
    if kind in (Kind.DEVICE, Kind.SESSION):
        folded = folded.unnest(*_KNOWN)
    return folded.select(*file_schema(kind), *within).sort(sort_columns(kind))


def _last(columns: list[str]) -> list[pl.Expr]:
    return [pl.col(name).last() for name in columns]


def _feedback(columns: list[str]) -> list[pl.Expr]:
    """The first and the last time of a flag; the rest as told last."""
    special = {
        # Rows from before both times were kept have only the one.
        "first_at": pl.coalesce("first_at", "occurred_at").min().alias("first_at"),
        "received_at": pl.col("received_at").max(),
    }
    return [special.get(name, pl.col(name).last()) for name in columns]


def _device(columns: list[str]) -> list[pl.Expr]:
    """First and last seen, and user, info and location as known last."""
    special = {
        "first_seen_at": pl.col("first_seen_at").min(),
        "received_at": pl.col("received_at").max(),
    }
    others = [name for name in columns if name not in _KNOWN_COLUMNS]
    return [*_known_last(columns), *(special.get(name, pl.col(name).last()) for name in others)]


def _session(columns: list[str]) -> list[pl.Expr]:
    """From the first activity's start to the last activity's end; the rest as known last."""
    others = [name for name in columns if name not in _KNOWN_COLUMNS]
    return [*_known_last(columns), *(_span_column(name) for name in others)]


def _job(columns: list[str]) -> list[pl.Expr]:
    """From the first start to the last end; what a report may leave out, as it was told last."""
    device_time = pl.coalesce("device_timestamp", "start")
    special = {
        # The device's own time of the start that is kept. Where one report tells it and another
        # leaves the same time out, that may not be left to the order of arrival.
        "device_timestamp": pl.col("device_timestamp")
        .sort_by("start", device_time, "device_timestamp")
        .first()
    }
    for name, told_by in JOB_TOLD_BY.items():
        special[name] = pl.col(name).sort_by(told_by).last()
        special[told_by] = pl.col(told_by).max()
    return [special.get(name, _span_column(name)) for name in columns]


def _span_column(name: str) -> pl.Expr:
    if name == "start":
        return pl.col(name).min()
    if name in {"end", "received_at", "sequence"}:
        return pl.col(name).max()
    return pl.col(name).get(pl.col("sequence").arg_max())


def _known_last(columns: list[str]) -> list[pl.Expr]:
    """Each of the known things, whole; of several at one instant the one with the largest id.

    A tie may not be left to the order of arrival, which folding forgets.
    """
    return [
        pl.struct(name for name in names if name in columns)
        .sort_by(f"{known}_at", f"{known}_id")
        .last()
        .alias(known)
        for known, names in _KNOWN.items()
    ]


_AGGREGATES: dict[Kind, Callable[[list[str]], list[pl.Expr]]] = {
    Kind.DEVICE: _device,
    Kind.TAG: _last,
    Kind.TOKEN: _last,
    Kind.FEEDBACK: _feedback,
    Kind.SESSION: _session,
    Kind.JOB: _job,
}
