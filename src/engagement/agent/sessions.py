"""Decides which session an activity, an event or a crash belongs to."""

from datetime import datetime, timedelta


class Sessions:
    """The sessions of one run of an app, one at a time.

    A session starts with an activity that finds none. It lasts while an activity runs and the
    time-out after it, by the same clock that stamps the records; what is reported in that time
    still belongs to it, and so does an activity that begins then. It never outlives the agent.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self._session_id: str | None = None
        self._idle_since: datetime | None = None

    def begin_activity(self, session_id: str) -> None:
        """An activity of this session runs."""
        self._session_id, self._idle_since = session_id, None

    def end_activity(self, at: datetime) -> None:
        """No activity runs any more."""
        self._idle_since = at

    def current(self, at: datetime) -> str | None:
        """The session that lasts; None if there is none."""
        if self._idle_since is not None and at - self._idle_since >= self._timeout:
            return None
        return self._session_id
