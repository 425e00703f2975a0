"""Cuts a table's rows into ranges of devices, and finds the rows and the files of a range."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import polars as pl

from engagement.model.plan import Part, RowPlace
from engagement.model.records import SPAN_KINDS, TIME_COLUMN, Kind
from engagement.store.data_files import DataFile

if TYPE_CHECKING:
    import pyarrow.parquet as pq


class HasBounds(Protocol):
    """What statistics say of some rows."""

    @property
    def device_min(self) -> str:
        """Smallest device id."""

    @property
    def device_max(self) -> str:
        """Largest device id."""

    @property
    def time_min(self) -> datetime:
        """Earliest record time."""

    @property
    def time_max(self) -> datetime:
        """Latest record time, without what is below a millisecond."""


PLACE_COLUMNS: dict[Kind, tuple[str, ...]] = {
    kind: (SPAN_KINDS[kind],) if kind in SPAN_KINDS else (TIME_COLUMN[kind], "sequence")
    for kind in Kind
    if kind.is_historical
}
"""What tells a row's place among those of its device; in a snapshot these stay together."""
STATISTICS_STEP = timedelta(milliseconds=1)
"""What Delta's statistics leave out of a time."""
_HEX_DIGITS = 32
"""Digits of a device id."""
_PLACE_MAX = 16**_HEX_DIGITS - 1


class RowGroupBounds:
    """What a row group's statistics say of it."""

    def __init__(self, device: "pq.Statistics", time: "pq.Statistics") -> None:
        self.device_min, self.device_max = device.min, device.max
        self._time = time

    # Read only where they decide: for its first time pyarrow loads pandas, if that is there.

    @property
    def time_min(self) -> datetime:
        """The earliest time."""
        earliest: datetime = self._time.min
        return earliest

    @property
    def time_max(self) -> datetime:
        """The latest time."""
        latest: datetime = self._time.max
        return latest


def device_boundaries(files: Sequence[DataFile], count: int) -> list[str]:
    """At most `count - 1` ascending device ids that cut the rows into about equal ranges.

    Each file's rows are taken as spread evenly between its smallest and largest device id, which
    is true of random ids. Where it is not, ranges are uneven but still hold every row once.
    """
    if count <= 1:
        return []
    spans = [(_place(file.device_min), _place(file.device_max) + 1, file.rows) for file in files]
    places = sorted({edge for low, high, _ in spans for edge in (low, high)})
    below = [sum(_rows_below(place, *span) for span in spans) for place in places]
    total = below[-1]
    boundaries: list[str] = []
    for step in range(1, count):
        wanted = total * step / count
        right = min(bisect_right(below, wanted), len(places) - 1)
        left = right - 1
        width = below[right] - below[left]
        share = (wanted - below[left]) / width if width else 0.0
        place = places[left] + round((places[right] - places[left]) * share)
        boundaries.append(f"{min(place, _PLACE_MAX):0{_HEX_DIGITS}x}")
    first = min(file.device_min for file in files)
    last = max(file.device_max for file in files)
    return sorted({boundary for boundary in boundaries if first < boundary <= last})


def in_devices(rows: pl.LazyFrame, device_from: str | None, device_to: str | None) -> pl.LazyFrame:
    """The rows from a device id on, and below another; None means no bound."""
    return in_range(rows, "device_id", device_from, device_to)


def in_range(
    rows: pl.LazyFrame, column: str, id_from: str | None, id_to: str | None
) -> pl.LazyFrame:
    """The rows whose id in a column is from one on, and below another; None means no bound."""
    if id_from is not None:
        rows = rows.filter(pl.col(column) >= id_from)
    if id_to is not None:
        rows = rows.filter(pl.col(column) < id_to)
    return rows


def within_range(rows: pl.LazyFrame, kind: Kind, part: Part) -> pl.LazyFrame:
    """The rows of a table that are in a part's range of devices and of their rows."""
    device, low, high = pl.col("device_id"), part.device_from, part.device_to
    # The bounds of devices let the reader skip row groups, which those of places do not.
    if low is not None:
        rows = rows.filter(device >= low)
        if part.place_from is not None:
            rows = rows.filter((device > low) | ~_is_before(kind, part.place_from))
    if high is not None:
        rows = rows.filter(device < high if part.place_to is None else device <= high)
        if part.place_to is not None:
            rows = rows.filter((device < high) | _is_before(kind, part.place_to))
    return rows


def may_meet(rows: HasBounds, part: Part) -> bool:
    """Whether rows may be in a part's range, by the statistics of a file or a row group."""
    return not _are_all_before(rows, part) and not _are_all_behind(rows, part)


def _are_all_before(rows: HasBounds, part: Part) -> bool:
    low, place = part.device_from, part.place_from
    if low is None or rows.device_max > low:
        return False
    if rows.device_max < low:
        return True
    if rows.device_min < low or not isinstance(place, tuple):
        return False
    return rows.time_max + STATISTICS_STEP <= place[0]


def _are_all_behind(rows: HasBounds, part: Part) -> bool:
    high, place = part.device_to, part.place_to
    if high is None or rows.device_min < high:
        return False
    if rows.device_min > high or place is None:
        return True
    if rows.device_max > high or not isinstance(place, tuple):
        return False
    return rows.time_min > place[0]


def _is_before(kind: Kind, place: RowPlace) -> pl.Expr:
    """Whether a row of a device is before a place."""
    if isinstance(place, str):
        return pl.col(SPAN_KINDS[kind]) < place
    time, sequence = place
    at = pl.col(TIME_COLUMN[kind])
    return (at < time) | ((at == time) & (pl.col("sequence") < sequence))


def _rows_below(place: int, low: int, high: int, rows: int) -> float:
    return rows * min(max(place - low, 0), high - low) / (high - low)


def _place(device_id: str) -> int:
    return int(device_id.ljust(_HEX_DIGITS, "0"), 16)
