"""Finds the session of every activity, and the sessions that activities make."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from engagement.collect.record_tables import NO_RECORD_ID
from engagement.model.records import derive_session_id
from engagement.store.queries.sightings import OpenSession


def assign_sessions(
    activities: pl.DataFrame, known: Iterable[OpenSession], *, timeout: timedelta
) -> tuple[pl.DataFrame, list[OpenSession]]:
    """The activities, each with a session id, and the sessions that they opened or extended.

    An activity without a session id joins the device's session that it overlaps or follows
    within the time-out, wherever in time that is, so late and out-of-order activities land in
    the session they belong to. Of several the one that began first gets it, those that are known
    before those that are new. Otherwise it opens one, whose id depends on the device and the
    activity's time alone: a repeated flush assigns the same ids.

    Args:
        activities: Of a round.
        known: The sessions of the activities' devices that were opened before, sorted by device,
            start and id. They are read once, along with the activities, and not kept.
        timeout: Silence that ends a session.
    """
    lacking = activities.filter(pl.col("session_id").is_null())
    if lacking.is_empty():
        return activities, []
    ordered = lacking.sort("device_id", "timestamp", "sequence").select(
        "device_id", "timestamp", pl.coalesce("end", "timestamp"), "sequence"
    )
    sessions = _Sessions(known, timeout)
    ids = pl.DataFrame(
        [
            (sequence, sessions.join(device_id, start, end))
            for device_id, start, end, sequence in ordered.iter_rows()
        ],
        schema={"sequence": pl.Int64(), "assigned": pl.String()},
        orient="row",
    )
    filled = activities.join(ids, on="sequence", how="left", maintain_order="left").with_columns(
        pl.coalesce("session_id", "assigned").alias("session_id")
    )
    return filled.drop("assigned"), sessions.list_changed()


class _Sessions:
    """The sessions that activities join, which come device after device in the order of time.

    So one that an activity begins too late for is over for all that follow. Of the known ones only
    the first that is not over counts: one behind it begins later still, and has not been joined
    while this one could be. Of the new ones only the newest counts, as it was opened when the
    others were over. An activity looks at two sessions therefore, however many there are.
    """

    def __init__(self, known: Iterable[OpenSession], timeout: timedelta) -> None:
        self._known = iter(known)
        self._first = next(self._known, None)
        """The first known session that is not over."""
        self._newest: OpenSession | None = None
        self._timeout = timeout
        self._changed: dict[tuple[str, str], OpenSession] = {}

    def join(self, device_id: str, start: datetime, end: datetime) -> str:
        """The id of the session that an activity belongs to, which reaches as far as it now."""
        since = start - self._timeout
        first = self._first
        while first is not None and (
            first.device_id < device_id or (first.device_id == device_id and first.end < since)
        ):
            first = next(self._known, None)
        self._first = first
        if (
            first is not None
            and first.device_id == device_id
            and first.start <= end + self._timeout
        ):
            self._first = self._extended(first, start, end)
            return first.session_id
        newest = self._newest
        if newest is not None and newest.device_id == device_id and newest.end >= since:
            self._newest = self._extended(newest, start, end)
            return newest.session_id
        session = OpenSession(
            session_id=derive_session_id(device_id, start),
            device_id=device_id,
            start=start,
            end=end,
        )
        self._changed[device_id, session.session_id] = self._newest = session
        return session.session_id

    def list_changed(self) -> list[OpenSession]:
        """The sessions that are new or reach further than before."""
        return sorted(self._changed.values(), key=lambda session: session.session_id)

    def _extended(self, session: OpenSession, start: datetime, end: datetime) -> OpenSession:
        if session.start <= start and end <= session.end:
            return session
        extended = replace(session, start=min(session.start, start), end=max(session.end, end))
        self._changed[session.device_id, session.session_id] = extended
        return extended


def session_changes(activities: pl.DataFrame) -> pl.DataFrame:
    """What the activities say of their sessions; `store.folds` makes sessions of it."""
    end = pl.coalesce("end", "timestamp")
    return activities.select(
        "device_id",
        "user_id",
        "session_id",
        pl.col("timestamp").alias("start"),
        end.alias("end"),
        *(
            pl.when(pl.col(f"{known}_id").is_not_null()).then(end).alias(f"{known}_at")
            for known in ("user", "info", "location")
        ),
        "info_id",
        "location_id",
        "received_at",
        "batch_id",
        "sequence",
        NO_RECORD_ID,
    )
