"""This module folds changes into the rows they amount to: one fold a kind, the same everywhere.

Devices, tags, tokens, feedback and sessions are appended as changes. A flush folds its own
changes before it writes, upkeep folds old ones, and an export folds what it reads; folding twice
gives what folding once gives.
"""

import polars as pl

from engagement.model.records import INFO_COLUMNS, LOCATION_COLUMNS, Kind
from engagement.store.schemas import file_schema, sort_columns

FOLD_KEYS: dict[Kind, tuple[str, ...]] = {
    Kind.DEVICE: ("device_id",),
    Kind.TAG: ("device_id", "key"),
    Kind.TOKEN: ("device_id",),
    Kind.FEEDBACK: ("device_id", "campaign_type", "campaign_id", "status"),
    Kind.SESSION: ("device_id", "session_id", "date"),
}
"""Which columns name the thing that changes; sessions are folded a UTC day at a time."""

_WITH_KNOWN = (Kind.DEVICE, Kind.SESSION)
_KNOWN: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "user_at"),
    "info": ("info_id", "info_at", *(column.name for column in INFO_COLUMNS)),
    "location": ("location_id", "location_at", *(column.name for column in LOCATION_COLUMNS)),
}
"""What a batch may leave unsaid, each with when it was said: the last that said it counts."""
_KNOWN_COLUMNS = frozenset(name for names in _KNOWN.values() for name in names)


def fold(kind: Kind, changes: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that the changes amount to, sorted; kinds without a fold come back sorted.

    Args:
        kind: Which fold.
        changes: Columns of `store.schemas.file_schema`, in any order of rows.
    """
    ordered = changes.sort(sort_columns(kind))
    if kind not in FOLD_KEYS:
        return ordered
    if kind is Kind.SESSION:
        ordered = ordered.with_columns(pl.col("start").dt.date().alias("date"))
    rest = [name for name in file_schema(kind) if name not in FOLD_KEYS[kind]]
    folded = ordered.group_by(FOLD_KEYS[kind], maintain_order=True).agg(_AGGREGATES[kind](rest))
    if kind in _WITH_KNOWN:
        folded = folded.unnest(*_KNOWN)
    return folded.select(file_schema(kind).keys()).sort(sort_columns(kind))


def _latest(columns: list[str]) -> list[pl.Expr]:
    return [pl.col(name).last() for name in columns]


def _earliest(columns: list[str]) -> list[pl.Expr]:
    return [pl.col(name).first() for name in columns]


def _device(columns: list[str]) -> list[pl.Expr]:
    """First and last seen, and user, info and location as known last."""
    aggregates = _known_last(columns)
    for name in columns:
        if name == "first_seen_at":
            aggregates.append(pl.col(name).min())
        elif name not in _KNOWN_COLUMNS:
            aggregates.append(pl.col(name).last())
    return aggregates


def _session(columns: list[str]) -> list[pl.Expr]:
    """From the first activity's start to the last activity's end; the rest as known last."""
    aggregates = _known_last(columns)
    for name in columns:
        if name == "start":
            aggregates.append(pl.col(name).min())
        elif name in {"end", "received_at", "sequence"}:
            aggregates.append(pl.col(name).max())
        elif name not in _KNOWN_COLUMNS:
            aggregates.append(pl.col(name).get(pl.col("sequence").arg_max()))
    return aggregates


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


_AGGREGATES = {
    Kind.DEVICE: _device,
    Kind.TAG: _latest,
    Kind.TOKEN: _latest,
    Kind.FEEDBACK: _earliest,
    Kind.SESSION: _session,
}
