"""Cuts a table's rows into ranges of device ids, from statistics alone."""

from bisect import bisect_right
from collections.abc import Sequence

import polars as pl

from engagement.store.data_files import DataFile

_HEX_DIGITS = 12
"""Leading digits of a device id that boundaries are computed with; 2^48 places are enough."""
_PLACE_MAX = 16**_HEX_DIGITS - 1


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
        boundaries.append(f"{min(place, _PLACE_MAX):0{_HEX_DIGITS}x}".ljust(32, "0"))
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


def _rows_below(place: int, low: int, high: int, rows: int) -> float:
    return rows * min(max(place - low, 0), high - low) / (high - low)


def _place(device_id: str) -> int:
    return int(device_id[:_HEX_DIGITS], 16)
