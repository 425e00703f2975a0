"""Reads the records of a batch column by column, where none of them has to be refused.

It is a shortcut: what it keeps is what `RecordReader` keeps of each record by itself. It refuses
nothing but gives up, so that what is wrong with which record is told in one place.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from engagement.collect.extras import compact_together
from engagement.collect.limits import RefusedRecordError, check_age, check_names, check_range
from engagement.collect.records import (
    ActivityRecord,
    ErrorRecord,
    EventRecord,
    JobRecord,
    RecordReader,
    SentRecord,
    TagsRecord,
    other_time,
)
from engagement.model.instants import all_rfc3339_microseconds
from engagement.model.records import Kind

TAGS_BYTES_MAX = 1024
"""Of a batch whose tags are read here; they take long, and must not be read twice if one is bad."""


def keep_columns(reader: RecordReader, records: Sequence[SentRecord]) -> bool:
    """Keep the rows of all records of a batch.

    Args:
        reader: One that has kept nothing yet.
        records: The records, in their order.

    Returns:
        False if one of them may have to be refused. Then the reader may hold anything, and each
        record has to be read by itself, by another.
    """
    try:
        for alike in _list_alike(reader, records):
            _KEEPERS.get(type(alike.records[0]), _keep_each)(alike)
    except (RefusedRecordError, ValueError, _UnusualError):
        return False
    return True


class _UnusualError(Exception):
    """There is something that columns cannot tell."""


class _Alike(msgspec.Struct, frozen=True, gc=False):
    """The records of a batch that are of one type, in their order; a struct, to be made quickly."""

    reader: RecordReader
    """Who keeps them."""
    records: Sequence[Any]
    """The records."""
    places: Sequence[int]
    """The place of each in the batch."""
    times: Sequence[int]
    """When each happened by our clock, in microseconds since 1970."""
    device_times: Sequence[int]
    """When each happened by the device's clock, likewise; the same object if all are the same."""

    def keep(self, kind: Kind, *columns: Sequence[object], ends: Sequence[int | None] = ()) -> None:
        """Keep a row of each record, its values in the order of `RECORD_COLUMNS`."""
        last = max((*self.times, *filter(None, ends)))
        self.reader.add_columns(kind, min(self.times), last, columns)

    def names(self) -> list[str]:
        names = [record.name for record in self.records]
        check_names(names)
        return names

    def ids(self, noun: str, sent: Sequence[str | None]) -> list[str | None]:
        kept = {text: self.reader.derive_id(noun, text) for text in set(sent)}
        return list(map(kept.__getitem__, sent))

    def ends(self) -> list[int | None]:
        return [
            self.reader.correct_end(record.end, device_at)
            for record, device_at in zip(self.records, self.device_times, strict=True)
        ]

    def extras(self) -> list[str | None]:
        texts = compact_together([record.extras for record in self.records])
        if texts is None:  # each by itself takes long, and must not be done twice
            raise _UnusualError
        return texts

    def other_times(self) -> list[int | None]:
        if self.device_times is self.times:
            return [None] * len(self.times)
        return list(map(other_time, self.device_times, self.times))


def _list_alike(reader: RecordReader, records: Sequence[SentRecord]) -> Iterator[_Alike]:
    """The records by their types, those first that come first."""
    if not records:
        return
    device_times = all_rfc3339_microseconds([record.timestamp for record in records])
    times = _kept_times(reader, device_times)
    if len(set(map(type, records))) == 1:
        yield _Alike(reader, records, range(len(records)), times, device_times)
        return
    places_of: dict[type, list[int]] = {}
    for place, record in enumerate(records):
        places_of.setdefault(type(record), []).append(place)
    for places in places_of.values():
        own_times = [times[place] for place in places]
        yield _Alike(
            reader,
            [records[place] for place in places],
            places,
            own_times,
            own_times if times is device_times else [device_times[place] for place in places],
        )


def _kept_times(reader: RecordReader, device_times: list[int]) -> list[int]:
    """What `RecordReader.correct_time` makes of each; the same list if that is the same for all."""
    shift, latest = reader.clock_shift, reader.latest
    times = [at + shift for at in device_times] if shift else device_times
    if latest is not None and max(times) > latest:
        times = [min(at, latest) for at in times]
    first = min(times)
    check_range(first, "timestamp")
    check_age(first, reader.earliest, "timestamp")
    check_range(max(times), "timestamp")
    return times


def _keep_activities(alike: _Alike) -> None:
    ends = alike.ends()
    alike.keep(
        Kind.ACTIVITY,
        alike.ids("session", [record.session_id for record in alike.records]),
        alike.names(),
        alike.times,
        ends,
        alike.extras(),
        alike.other_times(),
        ends=ends,
    )


def _keep_events(alike: _Alike) -> None:
    alike.keep(
        Kind.ERROR if isinstance(alike.records[0], ErrorRecord) else Kind.EVENT,
        alike.ids("session", [record.session_id for record in alike.records]),
        alike.ids("job", [record.job_id for record in alike.records]),
        alike.names(),
        alike.times,
        alike.extras(),
        alike.other_times(),
    )


def _keep_jobs(alike: _Alike) -> None:
    ids = alike.ids("job", [record.job_id for record in alike.records])
    ends = alike.ends()
    alike.keep(
        Kind.JOB,
        [
            known or alike.reader.derive_job_id(place)
            for known, place in zip(ids, alike.places, strict=True)
        ],
        alike.names(),
        alike.times,
        ends,
        alike.extras(),
        alike.other_times(),
        ends=ends,
    )


def _keep_tags(alike: _Alike) -> None:
    if sum(len(bytes(record.tags)) for record in alike.records) > TAGS_BYTES_MAX:
        raise _UnusualError
    _keep_each(alike)


def _keep_each(alike: _Alike) -> None:
    """Keep records of which there are few, as `RecordReader` does."""
    columns = (alike.places, alike.records, alike.times, alike.device_times)
    for place, record, at, device_at in zip(*columns, strict=True):
        alike.reader.keep(place, record, at, device_at=device_at)


_KEEPERS: dict[type, Callable[[_Alike], None]] = {
    ActivityRecord: _keep_activities,
    EventRecord: _keep_events,
    ErrorRecord: _keep_events,
    JobRecord: _keep_jobs,
    TagsRecord: _keep_tags,
}
