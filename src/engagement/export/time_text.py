"""Writes times as text from tables; to format each by the calendar costs several times as much.

They are RFC 3339, in UTC, cut to milliseconds: `2026-01-31T23:59:59.999Z`.
"""

import polars as pl

_DAY_MS = 86_400_000
_SECOND_MS = 1_000
_DATE_FORMAT = "%Y-%m-%dT"
_SECONDS = (
    (pl.int_range(_DAY_MS // _SECOND_MS, dtype=pl.Int64, eager=True) * 1_000_000_000)
    .cast(pl.Time())
    .dt.strftime("%H:%M:%S")
    .alias("")
)
"""The text of each second of a day."""
_MILLISECONDS = pl.Series([f".{ms:03d}Z" for ms in range(_SECOND_MS)])
"""What follows a second."""


def write_times(instants: pl.Series) -> list[str | pl.Expr]:
    """The times as texts that are joined a row; null where there is none.

    The date is a literal where all times are of one day.
    """
    since = instants.dt.epoch("us") // 1_000
    first, last = since.min(), since.max()
    if not isinstance(first, int) or not isinstance(last, int):
        return [pl.lit(instants.cast(pl.String()))]  # all are null
    day = first // _DAY_MS
    date: str | pl.Expr
    if day == last // _DAY_MS:
        date = _write_dates(pl.Series([day])).item()
        of_day = since - day * _DAY_MS
    else:
        days = since // _DAY_MS
        distinct = days.unique()
        date = pl.lit(days.replace_strict(distinct, _write_dates(distinct)))
        of_day = since - days * _DAY_MS
    of_day = of_day.cast(pl.UInt32())
    second = of_day // _SECOND_MS
    millisecond = of_day - second * _SECOND_MS
    return [date, pl.lit(_SECONDS.gather(second)), pl.lit(_MILLISECONDS.gather(millisecond))]


def _write_dates(days: pl.Series) -> pl.Series:
    return days.cast(pl.Int32()).cast(pl.Date()).dt.strftime(_DATE_FORMAT)
