"""The operations that say what the lake holds of an app: by day, by name, and what came last."""

from collections import Counter
from collections.abc import Collection
from datetime import date, timedelta

from engagement.collect.limits import to_microseconds
from engagement.exceptions import BadInputError
from engagement.model.records import HISTORICAL_KINDS, UNFOLDED_KINDS, Kind
from engagement.model.seen_records import DeviceHistory, SeenRecord, TopCounts
from engagement.runtime.opening import Runtime
from engagement.store.data_files import DataFile
from engagement.store.record_views import (
    RecordPlace,
    count_device_versions,
    count_names,
    place_of,
    read_history,
    read_newest,
)
from engagement.store.tables import EPOCH

RECORDS_MAX = 100
"""Records that one answer holds at most."""
NAMED_KINDS = (Kind.ACTIVITY, Kind.EVENT, Kind.ERROR, Kind.CRASH, Kind.JOB)
"""Kinds whose records have a name."""


def count_days(
    runtime: Runtime, app_id: str, *, first: date, last: date
) -> dict[Kind, Counter[date]]:
    """Rows of each historical kind on each UTC day, from the tables' own statistics.

    No row is read. What is accepted and not yet in the lake is not counted; of a session or a job
    that was told of in several batches, each telling counts until upkeep folds them.

    Raises:
        UnknownAppError: No app has this id.
    """
    counts: dict[Kind, Counter[date]] = {}
    for kind, files in _list_files(runtime, app_id, HISTORICAL_KINDS).items():
        days = counts.setdefault(kind, Counter())
        for file in files:
            if file.day is not None and first <= file.day <= last:
                days[file.day] += file.rows
    return counts


def top_names(runtime: Runtime, app_id: str, kind: Kind, *, first: date, last: date) -> TopCounts:
    """The names of a kind that occur most on some UTC days.

    Args:
        runtime: The service.
        app_id: The app.
        kind: One of `NAMED_KINDS`.
        first: The first day.
        last: The last day.

    Raises:
        UnknownAppError: No app has this id.
        LakeDamagedError: A file is not what was written.
    """
    files = [
        file
        for file in _list_files(runtime, app_id, {kind}).get(kind, [])
        if file.day is not None and first <= file.day <= last
    ]
    return count_names(runtime.lake, app_id, kind, files)


def count_versions(runtime: Runtime, app_id: str) -> TopCounts:
    """Which versions of the app and of its devices' systems are in use, by devices.

    Raises:
        UnknownAppError: No app has this id.
        LakeDamagedError: A file is not what was written.
    """
    files = _list_files(runtime, app_id, {Kind.DEVICE}).get(Kind.DEVICE, [])
    return count_device_versions(runtime.lake, app_id, files)


def newest_records(runtime: Runtime, app_id: str, *, limit: int = 20) -> list[SeenRecord]:
    """The records that came into the lake last, the newest first; sessions and jobs are left out.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The limit cannot be.
        LakeDamagedError: A file is not what was written.
    """
    _check_limit(limit)
    files = _list_files(runtime, app_id, UNFOLDED_KINDS)
    return read_newest(runtime.lake, app_id, files, limit=limit)


def lake_state(runtime: Runtime, app_id: str) -> str:
    """A word that differs whenever `newest_records` may: the versions of the tables it reads.

    Raises:
        UnknownAppError: No app has this id.
    """
    runtime.apps.get(app_id)
    commits = runtime.inbox.last_commits(app_id)
    return " ".join(
        f"{kind.value}.{commits[kind].version}" for kind in UNFOLDED_KINDS if kind in commits
    )


def read_device_history(
    runtime: Runtime, app_id: str, device_id: str, *, limit: int = 50, before: str | None = None
) -> DeviceHistory:
    """What a device did, newest first, with all that was acknowledged before.

    Args:
        runtime: The service.
        app_id: The app.
        device_id: The device, 32 lower-case hexadecimal digits.
        limit: How many records at most.
        before: Where to go on, as an answer said it.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The limit cannot be, or no answer ever said so where to go on.
        LakeDamagedError: A file is not what was written.
    """
    _check_limit(limit)
    place = None if before is None else _read_place(before)
    runtime.apps.get(app_id)
    runtime.flush(app_id)
    files = _list_files(runtime, app_id, HISTORICAL_KINDS)
    found = read_history(runtime.lake, app_id, device_id, files, limit=limit + 1, before=place)
    records = found[:limit]
    older = _write_place(records[-1]) if len(found) > limit else None
    return DeviceHistory(records=records, older=older)


def _list_files(
    runtime: Runtime, app_id: str, kinds: Collection[Kind]
) -> dict[Kind, list[DataFile]]:
    """The files of some kinds' tables, in the order of the kinds.

    Raises:
        UnknownAppError: No app has this id.
    """
    runtime.apps.get(app_id)
    commits = runtime.inbox.last_commits(app_id)
    return {
        kind: runtime.lake.files(app_id, kind, commits[kind].version)
        for kind in Kind
        if kind in kinds and kind in commits
    }


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= RECORDS_MAX:
        raise BadInputError(f"1 to {RECORDS_MAX} records may be listed, got {limit}.")


def _write_place(record: SeenRecord) -> str:
    at, sequence, order = place_of(record)
    return f"{to_microseconds(at)}.{sequence}.{order}"


def _read_place(text: str) -> RecordPlace:
    try:
        microseconds, sequence, order = (int(word) for word in text[:64].split("."))
        return EPOCH + timedelta(microseconds=microseconds), sequence, order
    except (ValueError, OverflowError):
        raise BadInputError("Where a history goes on must be as an answer said it.") from None
