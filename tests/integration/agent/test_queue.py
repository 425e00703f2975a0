"""Tries the agent's folder: kills, forks, two users, a full queue and a full disk."""

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engagement import DeviceAgent
from engagement.agent.queue import CRASH_BYTES_RESERVED, SET_ASIDE_MAX
from engagement.exceptions import BadInputError, HomeBusyError
from support.device_server import APP_KEY, DeviceClock, DeviceServer, Reply, device_server
from support.waiting import WAIT_SECONDS_MAX

NOWHERE = "http://127.0.0.1:9"
KILLS_MIN = 4
AGENT = f"""
import os, sys
from engagement import DeviceAgent
address, folder, *words = sys.argv[1:]
agent = DeviceAgent(address, {APP_KEY!r}, folder=folder, flush_seconds=0.02, batch_logs_max=5)
"""


def _start(code: str, *words: str) -> subprocess.Popen[bytes]:
    """A program with an agent."""
    return subprocess.Popen(
        [sys.executable, "-c", AGENT + code, *words], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )


def _deliver(server: DeviceServer, folder: Path) -> None:
    """Let another agent of the folder deliver what is left in it."""
    with DeviceAgent(server.address, APP_KEY, folder=folder, clock=DeviceClock()) as agent:
        assert agent.flush(WAIT_SECONDS_MAX)
        delivered = list(server.names)
    assert server.names == delivered  # closing has nothing to add


def test_every_report_that_returned_arrives_once_however_often_the_app_is_killed(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    kills = max(KILLS_MIN, pytestconfig.getoption("--kills"))
    dice = random.Random(5)  # noqa: S311 - a test that fails must fail again
    replies = [Reply(is_dropped=dice.random() < 0.5) for _ in range(kills * 10)]
    returned: list[bytes] = []
    with device_server(*replies) as server:
        for run in range(kills):
            code = """
for number in range(1_000_000):
    agent.send_event(f"{words[0]} {number}")
    os.write(1, f"{words[0]} {number}\\n".encode())
"""
            with _start(code, server.address, str(tmp_path), str(run)) as process:
                assert process.stdout is not None
                returned += [process.stdout.readline() for _ in range(dice.randrange(1, 100))]
                process.kill()
                returned += process.stdout.readlines()
        _deliver(server, tmp_path)
        names = Counter(server.names)

    reported = {line.decode().rstrip() for line in returned}
    assert set(names.values()) == {1}
    assert reported <= set(names)
    assert len(set(names) - reported) <= kills  # those that returned too late to say so
    assert "" not in reported


def test_what_had_not_ended_when_the_app_was_killed_is_reported_without_an_end(
    tmp_path: Path,
) -> None:
    code = """
agent.start_activity("home")
agent.start_job("upload")
os.write(1, b"ready\\n")
sys.stdin.read()
"""
    with _start(code, NOWHERE, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    with device_server() as server:
        _deliver(server, tmp_path)

    assert [(log["name"], "end" in log) for log in server.logs] == [
        ("home", False), ("upload", False),
    ]  # fmt: skip


def test_a_second_agent_of_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    code = 'os.write(1, b"ready\\n"); sys.stdin.read()'
    with _start(code, NOWHERE, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(HomeBusyError, match="another one uses"):
            DeviceAgent(NOWHERE, APP_KEY, folder=tmp_path)
        process.kill()
        process.wait(WAIT_SECONDS_MAX)
        agent = DeviceAgent(NOWHERE, APP_KEY, folder=tmp_path)
    with pytest.raises(HomeBusyError, match="another one uses"):
        DeviceAgent(NOWHERE, APP_KEY, folder=tmp_path)
    agent.close(0)
    DeviceAgent(NOWHERE, APP_KEY, folder=tmp_path).close(0)


def test_a_forked_process_cannot_report_and_does_not_keep_the_folder(tmp_path: Path) -> None:
    code = """
from engagement.exceptions import BadInputError
agent.send_event("parent")
if os.fork() == 0:
    try:
        agent.send_event("child")
    except BadInputError as error:
        os.write(1, f"{os.getpid()} {error}\\n".encode())
    agent.close()
    sys.stdin.read()
    sys.exit()  # with everything that a normal end does
os.kill(os.getpid(), 9)
"""
    with device_server() as server, _start(code, NOWHERE, str(tmp_path)) as process:
        assert process.stdout is not None
        child, _, result = process.stdout.readline().partition(b" ")
        process.wait(WAIT_SECONDS_MAX)
        _deliver(server, tmp_path)
        os.kill(int(child), signal.SIGKILL)

    assert b"a folder of its own" in result
    assert server.names == ["parent"]


def test_a_forked_process_that_ends_leaves_the_folder_to_its_parent(tmp_path: Path) -> None:
    code = """
agent.send_event("before")
child = os.fork()
if child == 0:
    sys.exit()
os.waitpid(child, 0)
agent.send_event("after")
assert agent.flush(600)
"""
    with device_server() as server, _start(code, server.address, str(tmp_path)) as process:
        assert process.wait(WAIT_SECONDS_MAX) == 0

    assert server.names == ["before", "after"]


def test_a_full_queue_counts_what_it_does_not_take_but_keeps_crashes(tmp_path: Path) -> None:
    clock = DeviceClock()
    with DeviceAgent(
        NOWHERE, APP_KEY, folder=tmp_path, clock=clock, queue_bytes_max=2_000
    ) as agent:
        for number in range(50):
            agent.send_event(f"tap {number}")
        agent.start_activity("home")
        agent.end_activity()
        with agent.start_job("upload"):
            kept = agent.waiting
        agent.send_crash("ValueError", "stack")
        assert agent.waiting == kept + 1
        (loss,) = agent.refused
        agent.close(0)

    assert 0 < kept < 50
    assert (loss.code, loss.logs) == ("queue_full", 52 - kept)
    with device_server() as server:
        _deliver(server, tmp_path)
    assert server.names == [*(f"tap {number}" for number in range(kept)), "ValueError"]


def test_even_crashes_have_an_end(tmp_path: Path) -> None:
    stack = "x" * 262_144
    crashes = CRASH_BYTES_RESERVED // len(stack) + 3
    agent = DeviceAgent(
        NOWHERE, APP_KEY, folder=tmp_path, clock=DeviceClock(), queue_bytes_max=1
    )  # fmt: skip
    for _ in range(crashes):
        agent.send_crash("ValueError", stack)
    waiting, (loss,) = agent.waiting, agent.refused
    agent.close(0)

    assert 0 < waiting < crashes
    assert waiting + loss.logs == crashes


def test_a_full_queue_takes_logs_again_when_it_was_delivered(tmp_path: Path) -> None:
    with (
        device_server() as server,
        DeviceAgent(
            server.address, APP_KEY, folder=tmp_path, clock=DeviceClock(), queue_bytes_max=500
        ) as agent,
    ):
        for number in range(50):
            agent.send_event(f"tap {number}")
            assert agent.flush(WAIT_SECONDS_MAX)
        assert agent.refused == ()

    assert len(server.names) == 50


def test_a_disk_that_takes_no_more_loses_logs_that_are_counted_and_never_stops_the_app(
    tmp_path: Path,
) -> None:
    code = """
import json, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
agent.start_activity("home")
least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))  # what a full disk is like
for number in range(300):
    agent.send_event(f"tap {number}", {"text": "x" * 900})
agent.end_activity()
agent.start_activity("basket")
agent.set_user_id("ada")
agent.flush(0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
agent.send_event("last")
losses = {loss.code: loss.logs for loss in agent.refused}
agent.close(0)
print(json.dumps(losses))
"""
    with _start(code, NOWHERE, str(tmp_path)) as process:
        output, _ = process.communicate(timeout=WAIT_SECONDS_MAX)
    losses = json.loads(output)
    with device_server() as server:
        _deliver(server, tmp_path)

    assert list(losses) == ["disk_failed"]
    assert 0 < losses["disk_failed"] < 300
    assert len(server.names) == 303 - losses["disk_failed"]
    assert server.names[-1] == "last"
    assert "home" in server.names


@pytest.mark.parametrize("what", ["garbage", "a folder", "no folder"])
def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "agent"
    if what == "no folder":
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        database = folder / "queue.db"
        database.mkdir() if what == "a folder" else database.write_bytes(b"garbage" * 1_000)

    for _ in range(2):
        with pytest.raises(BadInputError, match="An agent's folder must"):
            DeviceAgent(NOWHERE, APP_KEY, folder=folder)


def test_only_the_owner_may_read_what_the_app_reported(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "agent"
    with DeviceAgent(NOWHERE, APP_KEY, folder=folder, clock=DeviceClock()) as agent:
        agent.send_event("tap")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        agent.close(0)

    assert set(modes) >= {"lock", "queue.db", "queue.db-wal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_newest_batches_that_were_refused_whole_can_be_looked_at(tmp_path: Path) -> None:
    batches = SET_ASIDE_MAX + 5
    refusals = [Reply(status=400, body=b"No.") for _ in range(batches)]
    with (
        device_server(*refusals) as server,
        DeviceAgent(server.address, APP_KEY, folder=tmp_path, clock=DeviceClock()) as agent,
    ):
        for number in range(batches):
            agent.send_event(f"tap {number}")
            assert agent.flush(WAIT_SECONDS_MAX)
        (loss,) = agent.refused
    with sqlite3.connect(tmp_path / "queue.db") as database:
        kept = database.execute("SELECT content, message FROM set_aside ORDER BY number").fetchall()
    database.close()

    assert loss.logs == batches
    assert [json.loads(f"{{{content}}}")["logs"][0]["name"] for content, _ in kept] == [
        f"tap {number}" for number in range(5, batches)
    ]
    assert {message for _, message in kept} == {"No."}


def test_the_agent_loads_without_what_a_service_needs(tmp_path: Path) -> None:
    code = """
heavy = {"polars", "deltalake", "pyarrow", "sqlalchemy", "dbos", "fastapi", "msgspec", "obstore"}
print(sorted(heavy & set(sys.modules)))
agent.close(0)
"""
    with _start(code, NOWHERE, str(tmp_path)) as process:
        output, _ = process.communicate(timeout=WAIT_SECONDS_MAX)

    assert output == b"[]\n"
