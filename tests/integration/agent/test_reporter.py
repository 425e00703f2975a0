"""Compares what arrives with a model, for any calls, restarts and failing answers."""

import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engagement import DeviceAgent
from engagement.agent import Job
from support.device_server import APP_KEY, DeviceClock, DeviceServer, Reply, device_server
from support.waiting import WAIT_SECONDS_MAX

SESSION_TIMEOUT = timedelta(seconds=10)

OPERATIONS = (
    "start_activity", "end_activity", "session_event", "event", "start_job", "job_event",
    "end_job", "crash", "set_user", "flush", "restart",
)  # fmt: skip
steps = st.lists(
    st.sampled_from(OPERATIONS) | st.integers(-20, 20).map(lambda seconds: f"pass {seconds}"),
    max_size=25,
)
replies = st.lists(
    st.sampled_from(
        [Reply(), Reply(is_dropped=True), Reply(status=503), Reply(status=429), Reply(status=401)]
    ),
    max_size=12,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A log that must arrive."""

    type: str
    """What it is."""
    at: datetime
    """When it happened or began."""
    end: datetime | None = None
    """When it ended, if it must say so."""
    session: int | None = None
    """The model's number of its session."""
    job: str | None = None
    """The name of its job."""
    user: str | None = None
    """Who used the device when it was complete."""


@dataclass(slots=True, kw_only=True)
class Model:
    """What the rules say must arrive, by name; written without a look at the agent."""

    now: datetime
    user: str | None = None
    session: int = 0
    idle_since: datetime | None = None
    activity: str | None = None
    jobs: list[str] = field(default_factory=list)
    logs: dict[str, Expected] = field(default_factory=dict)

    def current(self) -> int | None:
        """The session that lasts."""
        if self.activity is not None:
            return self.session
        if self.idle_since is not None and self.now - self.idle_since < SESSION_TIMEOUT:
            return self.session
        return None

    def start_activity(self, name: str) -> None:
        if self.current() is None:
            self.session += 1
        session = self.session
        self.end_activity()
        self.logs[name] = Expected(type="activity", at=self.now, session=session, user=self.user)
        self.activity = name

    def end_activity(self) -> None:
        if self.activity is not None:
            self.idle_since = self._end(self.activity)
            self.activity = None

    def happen(self, name: str, type_: str, **others: Any) -> None:
        self.logs[name] = Expected(type=type_, at=self.now, user=self.user, **others)

    def end_job(self) -> None:
        self._end(self.jobs.pop())

    def restart(self) -> None:
        self.end_activity()
        self.jobs.clear()
        self.idle_since = None

    def _end(self, name: str) -> datetime:
        end = max(self.now, self.logs[name].at)
        self.logs[name] = replace(self.logs[name], end=end, user=self.user)
        return end


class Play:
    """Carries out every step with an agent and with the model."""

    def __init__(self, server: DeviceServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._clock = DeviceClock()
        self._numbers = count()
        self._jobs: list[Job] = []
        self.model = Model(now=self._clock.at)
        self.agent = self._opened()

    def _opened(self) -> DeviceAgent:
        return DeviceAgent(
            self._server.address, APP_KEY, folder=self._folder, clock=self._clock, batch_logs_max=3
        )

    def take(self, step: str) -> None:
        name = f"{step} {next(self._numbers)}"
        if step.startswith("pass"):
            self._clock.advance(int(step.split()[1]))
            self.model.now = self._clock.at
        elif step == "start_activity":
            self.agent.start_activity(name)
            self.model.start_activity(name)
        elif step == "end_activity":
            self.agent.end_activity()
            self.model.end_activity()
        elif step == "session_event":
            self.agent.send_session_event(name)
            self.model.happen(name, "event", session=self.model.current())
        elif step == "event":
            self.agent.send_event(name)
            self.model.happen(name, "event")
        elif step == "crash":
            self.agent.send_crash(name, "stack")
            self.model.happen(name, "crash", session=self.model.current())
        elif step.endswith("job") or step == "job_event":
            self._take_with_job(step, name)
        elif step == "set_user":
            self.agent.set_user_id(name)
            self.model.user = name
        elif step == "flush":
            assert self.agent.flush(WAIT_SECONDS_MAX)
        else:
            self.agent.close(0)
            self._jobs.clear()
            self.model.restart()
            self.agent = self._opened()

    def _take_with_job(self, step: str, name: str) -> None:
        if step == "start_job":
            self._jobs.append(self.agent.start_job(name))
            self.model.happen(name, "job", job=name)
            self.model.jobs.append(name)
        elif self._jobs and step == "job_event":
            self._jobs[-1].send_event(name)
            self.model.happen(name, "event", job=self.model.jobs[-1])
        elif self._jobs:
            self._jobs.pop().end()
            self.model.end_job()


@given(steps=steps, replies=replies)
@settings(max_examples=40)
def test_what_arrives_is_what_was_reported_each_once(
    steps: list[str], replies: list[Reply]
) -> None:
    with tempfile.TemporaryDirectory() as folder, device_server(*replies) as server:
        play = Play(server, Path(folder))
        for step in steps:
            play.take(step)
        play.agent.close(WAIT_SECONDS_MAX)
        play.model.end_activity()

        _check(server.logs, play.model.logs)


def _check(logs: list[dict[str, Any]], expected: dict[str, Expected]) -> None:
    assert sorted(log["name"] for log in logs) == sorted(expected)
    found = {
        log["name"]: Expected(
            type=log["type"],
            at=datetime.fromisoformat(log["timestamp"]),
            end=datetime.fromisoformat(log["end"]) if "end" in log else None,
            user=log["head"]["userId"],
        )
        for log in logs
    }
    assert found == {name: replace(item, session=None, job=None) for name, item in expected.items()}
    _check_names_the_same(logs, expected, "sessionId", "session")
    _check_names_the_same(logs, expected, "jobId", "job")


def _check_names_the_same(
    logs: list[dict[str, Any]], expected: dict[str, Expected], theirs: str, ours: str
) -> None:
    """Each id stands for one of the model's, and the other way round."""
    pairs = {(log.get(theirs), getattr(expected[log["name"]], ours)) for log in logs}

    assert len(pairs) == len({item for item, _ in pairs}) == len({other for _, other in pairs})
    assert all((item is None) == (other is None) for item, other in pairs)
