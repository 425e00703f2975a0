"""Tests that a job is one record, whatever happens in it."""

from pathlib import Path

import pytest

from engagement import DeviceAgent
from engagement.exceptions import BadInputError
from support.device_server import APP_KEY, DeviceClock, device_server
from support.waiting import WAIT_SECONDS_MAX, wait_for_event


def test_a_job_is_one_log_whatever_happens_in_it(tmp_path: Path) -> None:
    clock = DeviceClock(is_hasty=False)
    with device_server() as server, _agent(server.address, tmp_path, clock) as agent:
        job = agent.start_job("sync")
        clock.advance(3)
        with pytest.raises(KeyError), job:
            raise KeyError("shelf")
        with agent.start_job("ended early") as job:
            job.end()
        with pytest.raises(BadInputError, match="must not have ended"):
            job.send_event("late")
        with pytest.raises(KeyboardInterrupt), agent.start_job("interrupted"):
            raise KeyboardInterrupt
        assert agent.flush(WAIT_SECONDS_MAX)

        logs = [(log["type"], log["name"], log.get("end")) for log in server.logs]
        assert sorted(logs, key=str) == [
            ("error", "KeyError", None),
            ("job", "ended early", "2026-03-01T12:00:03.000Z"),
            ("job", "interrupted", "2026-03-01T12:00:03.000Z"),
            ("job", "sync", "2026-03-01T12:00:03.000Z"),
        ]
        assert {log["jobId"] for log in server.logs if log["name"] in {"sync", "KeyError"}} == {
            next(log["jobId"] for log in server.logs if log["name"] == "sync")
        }


def _agent(address: str, folder: Path, clock: DeviceClock) -> DeviceAgent:
    agent = DeviceAgent(address, APP_KEY, folder=folder, clock=clock)
    wait_for_event(clock.is_waited_for, "an agent that waits")
    return agent
