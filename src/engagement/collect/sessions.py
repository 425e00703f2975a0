"""Finds the session of every activity, and the sessions that activities make."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import polars as pl

from engagement.collect.record_tables import NO_RECORD_ID
from engagement.model.records import derive_guid
from engagement.store.queries.sightings import OpenSession


def assign_sessions(
    activities: pl.DataFrame, known: Iterable[OpenSession], *, timeout: timedelta
) -> tuple[pl.DataFrame, list[OpenSession]]:
    """The activities, each with a session id, and the sessions that they opened or extended.

    An activity without a session id joins the device's session that it overlaps or follows
    within the time-out, wherever in time that is, so late and out-of-order activities land in
    the session they belong to. Otherwise it opens one, whose id depends on the device and the
    activity's time alone: a repeated flush assigns the same ids.
    """
    lacking = activities.filter(pl.col("session_id").is_null())
    if lacking.is_empty():
        return activities, []
    sessions: dict[str, list[OpenSession]] = {}
    before = set(known)
    for session in sorted(before, key=lambda session: (session.start, session.session_id)):
        sessions.setdefault(session.device_id, []).append(session)
    assigned: list[tuple[int, str]] = []
    ordered = lacking.sort("device_id", "timestamp", "sequence")
    for row in ordered.select("device_id", "timestamp", "end", "sequence").iter_rows(named=True):
        start, end = row["timestamp"], row["end"] or row["timestamp"]
        of_device = sessions.setdefault(row["device_id"], [])
        place = next(
            (
                index
                for index, session in enumerate(of_device)
                if session.start - timeout <= end and start <= session.end + timeout
            ),
            None,
        )
        if place is None:
            session_id = derive_guid("session", row["device_id"], start.isoformat())
            of_device.append(
                OpenSession(session_id=session_id, device_id=row["device_id"], start=start, end=end)
            )
        else:
            session = of_device[place]
            session_id = session.session_id
            of_device[place] = replace(
                session, start=min(session.start, start), end=max(session.end, end)
            )
        assigned.append((row["sequence"], session_id))
    ids = pl.DataFrame(
        assigned, schema={"sequence": pl.Int64(), "assigned": pl.String()}, orient="row"
    )
    filled = activities.join(ids, on="sequence", how="left", maintain_order="left").with_columns(
        pl.coalesce("session_id", "assigned").alias("session_id")
    )
    changed = {session for some in sessions.values() for session in some} - before
    return filled.drop("assigned"), sorted(changed, key=lambda session: session.session_id)


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
