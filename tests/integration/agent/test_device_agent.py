"""Holds the agent to the rules of sessions, activities and jobs, one table row each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engagement import DeviceAgent
from engagement.exceptions import BadInputError
from support.device_server import APP_KEY, DeviceClock, device_server
from support.waiting import WAIT_SECONDS_MAX, wait_for_event

Step = Callable[[DeviceAgent, DeviceClock], None]


def _start(name: str) -> Step:
    return lambda agent, _: agent.start_activity(name)


def _end() -> Step:
    return lambda agent, _: agent.end_activity()


def _tap(name: str) -> Step:
    return lambda agent, _: agent.send_session_event(name)


def _crash() -> Step:
    return lambda agent, _: agent.send_crash("boom", "stack")


def _pass(seconds: float) -> Step:
    return lambda _, clock: clock.advance(seconds)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(
            [_start("a"), _pass(5), _start("b"), _pass(5), _end()],
            {"a": (0, 0, 5), "b": (0, 5, 10)},
            id="starting an activity ends the one before",
        ),
        pytest.param(
            [_start("a"), _end(), _pass(9.999), _start("b"), _end()],
            {"a": (0, 0, 0), "b": (0, 9.999, 9.999)},
            id="a session lasts for the time-out after its last activity",
        ),
        pytest.param(
            [_start("a"), _end(), _pass(10), _start("b"), _end()],
            {"a": (0, 0, 0), "b": (1, 10, 10)},
            id="after the time-out the next activity starts another",
        ),
        pytest.param(
            [_start("a"), _pass(3_600), _tap("tap"), _start("b"), _end()],
            {"a": (0, 0, 3_600), "tap": (0, 3_600, None), "b": (0, 3_600, 3_600)},
            id="it does not end while an activity runs",
        ),
        pytest.param(
            [_tap("tap"), _start("a"), _end()],
            {"tap": (None, 0, None), "a": (0, 0, 0)},
            id="before a session an event of it is standalone",
        ),
        pytest.param(
            [_start("a"), _end(), _pass(9), _tap("in"), _pass(1), _tap("out"), _crash()],
            {"a": (0, 0, 0), "in": (0, 9, None), "out": (None, 10, None), "boom": (None, 10, None)},
            id="what happens in the time-out belongs to the session, and nothing after it",
        ),
        pytest.param(
            [_end(), _start("a"), _end(), _pass(1), _end(), _pass(9), _start("b"), _end()],
            {"a": (0, 0, 0), "b": (1, 10, 10)},
            id="ending what does not run changes nothing",
        ),
        pytest.param(
            [_start("a"), _pass(-60), _end(), _pass(-60), _start("b"), _crash(), _end()],
            {"a": (0, 0, 0), "b": (0, -120, -120), "boom": (0, -120, None)},
            id="a clock that is set back neither makes an end before its start nor ends a session",
        ),
    ],
)
def test_a_session_is_made_of_activities(
    tmp_path: Path, steps: list[Step], expected: dict[str, tuple[int | None, float, float | None]]
) -> None:
    clock = DeviceClock(is_hasty=False)
    zero = clock.at
    with device_server() as server, _agent(server.address, tmp_path, clock) as agent:
        for step in steps:
            step(agent, clock)
        assert agent.flush(WAIT_SECONDS_MAX)

        sessions: list[str] = []
        found = {}
        for log in sorted(server.logs, key=lambda item: list(expected).index(item["name"])):
            session_id = log.get("sessionId")
            if session_id is not None and session_id not in sessions:
                sessions.append(session_id)
            found[log["name"]] = (
                None if session_id is None else sessions.index(session_id),
                _seconds(zero, log["timestamp"]),
                None if "end" not in log else _seconds(zero, log["end"]),
            )
        assert found == expected


def test_closing_ends_the_activity_and_reports_jobs_without_an_end(tmp_path: Path) -> None:
    clock = DeviceClock(is_hasty=False)
    with device_server() as server:
        agent = _agent(server.address, tmp_path, clock)
        agent.start_activity("home")
        job = agent.start_job("upload")
        clock.advance(2)
        agent.close(WAIT_SECONDS_MAX)
        agent.close()

    ends = {log["name"]: log.get("end") for log in server.logs}
    assert ends == {"home": "2026-03-01T12:00:02.000Z", "upload": None}
    with pytest.raises(BadInputError, match="before it is closed"):
        job.end()
    with pytest.raises(BadInputError, match="before it is closed"):
        agent.send_event("late")


def test_a_refused_activity_leaves_the_one_that_runs(tmp_path: Path) -> None:
    clock = DeviceClock(is_hasty=False)
    with device_server() as server, _agent(server.address, tmp_path, clock) as agent:
        agent.start_activity("home")
        clock.advance(1)
        with pytest.raises(BadInputError, match="name must have 1 to 64 characters"):
            agent.start_activity("")
        clock.advance(1)
        agent.end_activity()
        assert agent.flush(WAIT_SECONDS_MAX)

        ((name, end),) = ((log["name"], log["end"]) for log in server.logs)
        assert (name, end) == ("home", "2026-03-01T12:00:02.000Z")


def _agent(address: str, folder: Path, clock: DeviceClock) -> DeviceAgent:
    agent = DeviceAgent(address, APP_KEY, folder=folder, clock=clock)
    wait_for_event(clock.is_waited_for, "an agent that waits")
    return agent


def _seconds(zero: Any, text: str) -> float:
    seconds: float = (type(zero).fromisoformat(text) - zero).total_seconds()
    return seconds
