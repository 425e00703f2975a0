"""Cuts what statistics could not: parts that have too many rows, at places found in the data."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import polars as pl

from engagement.export.rows import Selection, part_rows
from engagement.model.plan import Part, RowPlace
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, Kind
from engagement.store.data_files import DataFile
from engagement.store.lake import Lake
from engagement.store.ranges import PLACE_COLUMNS, may_meet, within_range

SLACK = 4
"""A part is cut if it has more than the target and this share of it."""
SHARES = 8
"""A cut is right to this share of the target: from each file so many rows a target are looked at,
and a device that has fewer rows is not cut itself."""


def cut_part(
    lake: Lake, selection: Selection, part: Part, files: Sequence[DataFile], *, target: int
) -> Iterator[Part]:
    """The part, or parts of at most about the target's rows that together hold its rows.

    Statistics know neither how device ids are spread nor how many rows one device has. A row is
    never in two of the parts, nor is what is told of one session or job; all of a device is kept
    together in a snapshot.

    Args:
        lake: The lake.
        selection: What is exported.
        part: With its rows counted.
        files: Those of the export's own table that the plan has pinned.
        target: Rows that a part aims at.
    """
    kind = selection.export_type.kind
    rows = part.rows or 0
    edges: list[tuple[str, RowPlace | None]] = []
    if rows > target + target // SLACK and kind not in CONTENT_KINDS:
        read = set(part.files[kind])
        files = [file for file in files if file.path in read]
        edges = _edges(_sample(lake, selection, part, target), kind, -(-rows // target))
    if not edges:
        yield part
        return
    bounds = [
        (part.device_from, part.place_from),
        *edges,
        (part.device_to, part.place_to),
    ]
    for (device_from, place_from), (device_to, place_to) in pairwise(bounds):
        piece = replace(
            part,
            device_from=device_from,
            place_from=place_from,
            device_to=device_to,
            place_to=place_to,
        )
        if kind is not Kind.TOKEN:  # whose token one is, any device may tell
            inside = tuple(file.path for file in files if may_meet(file, piece))
            piece = replace(piece, files={**part.files, kind: inside})
        counted = replace(piece, rows=count_rows(lake, selection, piece))
        yield from cut_part(lake, selection, counted, files, target=target)


def count_rows(lake: Lake, selection: Selection, part: Part) -> int:
    """How many rows a part has, by a scan of only the columns that decide."""
    counted = part_rows(lake, selection, part).select(pl.len()).collect(engine="streaming")
    return int(counted.item())


def _sample(lake: Lake, selection: Selection, part: Part, target: int) -> pl.DataFrame:
    """Where some of the part's rows are, evenly chosen and sorted, a file in memory at a time.

    Of what is folded each row counts once, however much is told of it.
    """
    kind = selection.export_type.kind
    is_folded = kind in SPAN_KINDS or not kind.is_historical
    columns = ["device_id", *PLACE_COLUMNS.get(kind, ())]
    paths = part.files[kind]
    every = max(1, target // (SHARES * len(paths)))
    seen = 0
    chosen: list[pl.DataFrame] = []
    for path in paths:
        if is_folded:
            rows = within_range(lake.scan(selection.app_id, kind, [path]), kind, part)
        else:
            rows = part_rows(lake, selection, replace(part, files={**part.files, kind: (path,)}))
        places = rows.select(columns).sort(columns).collect()
        chosen.append(places.gather_every(every, -seen % every))
        seen += places.height
    sample = pl.concat(chosen).sort(columns)
    return sample.unique(maintain_order=True) if is_folded else sample


def _edges(sample: pl.DataFrame, kind: Kind, count: int) -> list[tuple[str, RowPlace | None]]:
    """Where the sampled rows are cut into equal shares, of a device's first row if it is near."""
    devices = sample["device_id"]
    found: dict[int, tuple[str, RowPlace | None]] = {}
    for step in range(1, count):
        at = sample.height * step // count
        first = int(devices.search_sorted(devices[at], side="left"))
        is_near = (at - first) * count * SHARES <= sample.height or kind not in PLACE_COLUMNS
        if is_near and first > 0:
            found[first] = (devices[first], None)
        elif kind in PLACE_COLUMNS and at > 0:
            device_id, *place = sample.row(at)
            found[at] = (device_id, place[0] if kind in SPAN_KINDS else tuple(place))
    return [found[at] for at in sorted(found)]
