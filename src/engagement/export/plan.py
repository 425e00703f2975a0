"""Cuts an export into parts, from nothing but Delta's statistics of its files."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import accumulate, groupby, pairwise

from engagement.model.exports import ExportType, TimeAxis, TimeRange
from engagement.model.plan import Part
from engagement.model.records import CONTENT_KINDS, SPAN_KINDS, Kind
from engagement.store.data_files import DataFile
from engagement.store.ranges import STATISTICS_STEP, device_boundaries, may_meet

CONTENT_DIGITS = 12
"""Leading digits of a content id that ranges are cut by."""
PART_SOURCE_BYTES_MAX = 128 * 1024 * 1024
"""Parquet bytes that a part aims at, at the most: fewer rows where rows are large. It keeps parts
far below what a destination takes for one object, the least being 10,000 blocks of 8 MiB."""


def plan_parts(
    export_type: ExportType,
    files: Mapping[Kind, Sequence[DataFile]],
    *,
    time_range: TimeRange | None,
    part_rows_target: int,
    time_axis: TimeAxis = TimeAxis.EVENT,
) -> tuple[Part, ...]:
    """Parts that hold every row of the export exactly once, of about the target's rows each.

    Args:
        export_type: What is exported.
        files: The pinned files of every table that the export reads.
        time_range: The asked range of a historical type.
        part_rows_target: Rows that a part aims at. Days below it are gathered into one part;
            a day above it is cut into ranges of device ids.
        time_axis: What the range is about.
    """
    kind = export_type.kind
    main = files.get(kind, ())
    target = rows_target(main, part_rows_target)
    if kind in CONTENT_KINDS:
        cut = _by_content(kind, main, target)
    elif time_range is None or not export_type.is_historical:
        cut = _by_device(kind, main, target)
        if kind is Kind.TOKEN:
            cut = [replace(part, files={kind: _paths(main)}) for part in cut]
    else:
        is_exact = time_axis is TimeAxis.EVENT and time_range.is_whole_days
        inside = _inside(kind, main, time_range, time_axis)
        cut = _by_day(kind, inside, target, time_range if is_exact else None)
    beside = {other: _FilesByDevice(some) for other, some in files.items() if other is not kind}
    return tuple(
        replace(part, index=index, files=dict(part.files) | _files_beside(beside, part))
        for index, part in enumerate(cut)
    )


def _files_beside(
    files: Mapping[Kind, "_FilesByDevice"], part: Part
) -> dict[Kind, tuple[str, ...]]:
    """The files of the other tables that a part needs: all that tell of its devices.

    Whose a token is, any device may tell.
    """
    return {
        kind: _paths(some.files if kind is Kind.TOKEN else some.find_meeting(part))
        for kind, some in files.items()
    }


def rows_target(files: Sequence[DataFile], part_rows_target: int) -> int:
    """The asked target, or less where the average row is large."""
    rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
    return max(1, min(part_rows_target, rows * PART_SOURCE_BYTES_MAX // max(size, 1)))


def _inside(
    kind: Kind, files: Sequence[DataFile], time_range: TimeRange, time_axis: TimeAxis
) -> list[DataFile]:
    """The files that an export of a range has to read.

    A record may be received on any day after it happened, so no day is left out for its date,
    only a file for its statistics. What is reported of a session or a job is all in one day's
    files: these are read together, where one of them may hold what decides.
    """
    if time_axis is TimeAxis.RECEIVED:
        found = may_be_received_in(files, time_range)
    elif kind in SPAN_KINDS:
        found = may_have_happened_in(files, time_range)
    else:
        return _of_days(files, time_range.first_day, time_range.last_day)
    if kind not in SPAN_KINDS:
        return found
    days = {file.day for file in found}
    return [file for file in files if file.day in days]


def may_be_received_in(files: Sequence[DataFile], time_range: TimeRange) -> list[DataFile]:
    """The files that may hold rows received in the range, by their statistics where they have some.

    Statistics are cut to milliseconds, so a latest receipt stands for all of its millisecond.
    """
    return [
        file
        for file in files
        if (file.received_min is None or file.received_min < time_range.end)
        and (file.received_max is None or file.received_max + STATISTICS_STEP > time_range.start)
    ]


def may_have_happened_in(files: Sequence[DataFile], time_range: TimeRange) -> list[DataFile]:
    """The files that may hold records of the range, by their statistics."""
    return [
        file
        for file in files
        if file.time_min < time_range.end and time_range.start - file.time_max < STATISTICS_STEP
    ]


def _by_day(
    kind: Kind, files: Sequence[DataFile], target: int, exact_range: TimeRange | None
) -> list[Part]:
    """Runs of the whole days of some files.

    Args:
        kind: What the files hold.
        files: The files to read.
        target: Rows that a part aims at.
        exact_range: The whole days that are asked for by when records happened, if any: then
            every row of most files is delivered, and they need no counting.
    """
    parts: list[Part] = []
    days = [file.day or date.min for file in files]
    for first, last in _runs(files, target):
        inside = files[bisect_left(days, first) : bisect_right(days, last)]
        by_device = _FilesByDevice(inside)
        is_exact = exact_range is not None
        if kind in SPAN_KINDS:
            is_folded = _are_folded(inside)
            is_exact = exact_range is not None and is_folded and _are_within(inside, exact_range)
        parts += [
            replace(
                part,
                first_day=first,
                last_day=last,
                rows=part.rows if is_exact else None,
                in_order=part.in_order and first == last,
                is_folded=_are_folded(by_device.find_meeting(part)),
            )
            for part in _by_device(kind, inside, target if first == last else None)
        ]
    return parts


class _FilesByDevice:
    """Files, found by their devices without a look at all: a day may have thousands, and parts."""

    def __init__(self, files: Sequence[DataFile]) -> None:
        self.files = files
        """In their order."""
        self._places = sorted(range(len(files)), key=lambda place: files[place].device_min)
        self._lowest = [files[place].device_min for place in self._places]
        highest = (files[place].device_max for place in self._places)
        self._highest_so_far = list(accumulate(highest, max))

    def find_meeting(self, part: Part) -> list[DataFile]:
        """The files that may hold device ids of the part, in their order."""
        low, high = part.device_from, part.device_to
        begin = 0 if low is None else bisect_left(self._highest_so_far, low)
        end = len(self._places) if high is None else bisect_right(self._lowest, high)
        some = (self.files[place] for place in sorted(self._places[begin:end]))
        return [file for file in some if may_meet(file, part)]


def _are_folded(files: Sequence[DataFile]) -> bool:
    """Whether no two files of a day share a device: a flush and upkeep fold what they write."""
    return all(
        _are_disjoint(list(of_day)) for _, of_day in groupby(files, key=lambda file: file.day)
    )


def _are_within(files: Sequence[DataFile], time_range: TimeRange) -> bool:
    return all(
        file.time_min >= time_range.start and file.time_max < time_range.end for file in files
    )


def _by_content(kind: Kind, files: Sequence[DataFile], target: int) -> list[Part]:
    """Ranges of content ids, which are spread evenly; each is looked for in all files."""
    rows = sum(file.rows for file in files)
    if rows == 0:
        return []
    count = -(-rows // target)
    edges = [f"{16**CONTENT_DIGITS * step // count:0{CONTENT_DIGITS}x}" for step in range(1, count)]
    return [
        Part(
            index=0,
            first_day=None,
            last_day=None,
            device_from=content_from,
            device_to=content_to,
            files={kind: _paths(files)},
            rows=None,
            in_order=False,
            is_folded=False,
        )
        for content_from, content_to in zip([None, *edges], [*edges, None], strict=True)
    ]


def empty_part() -> Part:
    """The part of an export without rows: a file that is valid in its format."""
    return Part(
        index=0,
        first_day=None,
        last_day=None,
        device_from=None,
        device_to=None,
        files={},
        rows=0,
        in_order=True,
        is_folded=True,
    )


def _of_days(files: Sequence[DataFile], first: date, last: date) -> list[DataFile]:
    return [file for file in files if file.day is not None and first <= file.day <= last]


def _runs(files: Sequence[DataFile], target: int) -> list[tuple[date, date]]:
    """First and last of consecutive days whose rows together stay within the target.

    A day is never cut here, so one above the target is a run of its own.
    """
    runs: list[tuple[date, date]] = []
    rows = 0
    for day, some in groupby(files, key=lambda file: file.day or date.min):
        day_rows = sum(file.rows for file in some)
        if runs and rows + day_rows <= target:
            runs[-1] = (runs[-1][0], day)
            rows += day_rows
        else:
            runs.append((day, day))
            rows = day_rows
    return runs


def _by_device(kind: Kind, files: Sequence[DataFile], target: int | None) -> list[Part]:
    """One part, or one for each range of device ids if there are more rows than the target."""
    rows = sum(file.rows for file in files)
    if rows == 0:
        return []
    boundaries = [] if target is None else device_boundaries(files, -(-rows // target))
    whole = Part(
        index=0,
        first_day=None,
        last_day=None,
        device_from=None,
        device_to=None,
        files={},
        # Only history is delivered row by row; a snapshot has fewer rows than changes.
        rows=rows if kind.is_historical and not boundaries else None,
        in_order=False,
        is_folded=False,
    )
    parts = []
    by_device = _FilesByDevice(files)
    for device_from, device_to in zip([None, *boundaries], [*boundaries, None], strict=True):
        part = replace(whole, device_from=device_from, device_to=device_to)
        inside = by_device.find_meeting(part)
        if inside:
            parts.append(
                replace(part, files={kind: _paths(inside)}, in_order=_are_disjoint(inside))
            )
    return parts


def _are_disjoint(files: Sequence[DataFile]) -> bool:
    return all(before.device_max < after.device_min for before, after in pairwise(files))


def _paths(files: Sequence[DataFile]) -> tuple[str, ...]:
    return tuple(file.path for file in files)
