"""Finds, for the oracle, the session of each activity that names none."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engagement.model.records import derive_guid


@dataclass(slots=True)
class OpenSession:
    """A session that was opened because activities name none."""

    session: str
    device: str
    start: datetime
    end: datetime


def join_sessions(
    activities: list[dict[str, Any]], known: list[OpenSession], timeout: timedelta
) -> list[OpenSession]:
    """All opened sessions, after each activity without a session has joined or opened one."""
    by_device: dict[str, list[OpenSession]] = defaultdict(list)
    for session in sorted(known, key=lambda session: (session.start, session.session)):
        by_device[session.device].append(session)
    lacking = [row for row in activities if row["sessionId"] is None]
    for row in sorted(lacking, key=lambda row: (row["device"], row["at"], row["arrival"])):
        start, end = row["at"], row["end"] or row["at"]
        for session in by_device[row["device"]]:
            if session.start - timeout <= end and start <= session.end + timeout:
                session.start, session.end = min(session.start, start), max(session.end, end)
                break
        else:
            name = derive_guid("session", row["device"], start.isoformat())
            session = OpenSession(name, row["device"], start, end)
            by_device[row["device"]].append(session)
        row["sessionId"] = session.session
    return [session for sessions in by_device.values() for session in sessions]
