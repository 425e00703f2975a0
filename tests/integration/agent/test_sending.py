"""Tries how the agent delivers to servers that answer, fail, lie and hang."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engagement import DeviceAgent
from engagement.agent.queue import BATCH_BYTES_MAX
from engagement.agent.sending import RETRY_AFTER_SECONDS_MAX
from engagement.agent.sending import WAIT_SECONDS_MAX as PAUSE_SECONDS_MAX
from engagement.model.records import Kind
from support.device_server import (
    APP_KEY,
    RECEIVED_AT,
    DeviceClock,
    DeviceServer,
    Reply,
    device_server,
)
from support.waiting import WAIT_SECONDS_MAX, join_threads, wait_for_event

DROPPED = Reply(is_dropped=True)


def _agent(
    server: DeviceServer | str, folder: Path, clock: DeviceClock, **options: Any
) -> DeviceAgent:
    """An agent, which sends nothing of its own accord if the clock has no haste."""
    address = server if isinstance(server, str) else server.address
    agent = DeviceAgent(address, APP_KEY, folder=folder, clock=clock, **options)
    if not clock.is_hasty:
        wait_for_event(clock.is_waited_for, "an agent that waits")
    return agent


@pytest.fixture
def clock() -> DeviceClock:
    return DeviceClock()


def test_everything_that_can_be_reported_arrives_as_it_was_said(tmp_path: Path) -> None:
    clock = DeviceClock(is_hasty=False)
    with device_server() as server, _agent(server, tmp_path, clock, device_id="my desk") as agent:
        agent.set_user_id("ada")
        agent.start_activity("home", {"tab": 1})
        agent.send_session_event("tap", {"price": 1.5})
        agent.send_session_error("slow")
        clock.advance(2)
        agent.end_activity()
        agent.send_event("woke")
        agent.send_error("no_network")
        with agent.start_job("upload", {"files": [1, 2]}) as job:
            job.send_event("half")
            job.send_error("again")
            clock.advance(1)
        agent.send_crash("ValueError", "line 1\nline 2")
        agent.send_app_info(plan="pro", age=36, born=date(1990, 12, 10), beta=True, coupon=None)
        agent.register_token("t0k", "GCM")
        agent.invalidate_token("t0k", "GCM")
        agent.send_feedback("Announcement", 7, "SystemNotificationActioned")

        assert agent.flush(WAIT_SECONDS_MAX)

        heads = [log.pop("head") for log in server.logs]
        (session_id,) = {log["sessionId"] for log in server.logs if "sessionId" in log}
        (job_id,) = {log["jobId"] for log in server.logs if "jobId" in log}
        start, later, end = (f"2026-03-01T12:00:0{second}.000Z" for second in (0, 2, 3))
        in_session, in_job = {"sessionId": session_id}, {"jobId": job_id}
        assert server.logs == [
            {"type": "activity", "timestamp": start, "name": "home", "extras": {"tab": 1},
             "end": later, **in_session},
            {"type": "event", "timestamp": start, "name": "tap", "extras": {"price": 1.5},
             **in_session},
            {"type": "error", "timestamp": start, "name": "slow", **in_session},
            {"type": "event", "timestamp": later, "name": "woke"},
            {"type": "error", "timestamp": later, "name": "no_network"},
            {"type": "job", "timestamp": later, "name": "upload", "extras": {"files": [1, 2]},
             "end": end, **in_job},
            {"type": "event", "timestamp": later, "name": "half", **in_job},
            {"type": "error", "timestamp": later, "name": "again", **in_job},
            {"type": "crash", "timestamp": end, "name": "ValueError", "stack": "line 1\nline 2",
             **in_session},
            {"type": "tags", "timestamp": end, "tags": {"plan": "pro", "age": 36,
             "born": "1990-12-10", "beta": True, "coupon": None}},
            {"type": "token", "timestamp": end, "token": "t0k", "tokenType": "GCM", "valid": True},
            {"type": "token", "timestamp": end, "token": "t0k", "tokenType": "GCM", "valid": False},
            {"type": "feedback", "timestamp": end, "campaignType": "Announcement", "campaignId": 7,
             "status": "SystemNotificationActioned"},
        ]  # fmt: skip
        assert {(head["deviceId"], head["userId"]) for head in heads} == {("my desk", "ada")}
        assert set(heads[0]["info"]) >= {"firmwareName", "phoneModel", "timeZoneOffset"}
        assert agent.refused == ()
        assert agent.waiting == 0


def test_a_batch_whose_answers_are_lost_is_the_same_batch_until_one_comes(
    tmp_path: Path, clock: DeviceClock
) -> None:
    with (
        device_server(DROPPED, DROPPED, DROPPED) as server,
        _agent(server, tmp_path, clock) as agent,
    ):
        agent.send_event("once")
        assert agent.flush(WAIT_SECONDS_MAX)

        assert server.names == ["once"]
        assert len(server.attempts) == 4
        assert len({attempt.rest for attempt in server.attempts}) == 1


def test_a_batch_is_the_same_in_the_next_run_and_says_when_it_is_sent(
    tmp_path: Path, clock: DeviceClock
) -> None:
    with device_server(DROPPED, Reply(status=503), Reply(status=503)) as server:
        patient = DeviceClock(is_hasty=False)
        agent = _agent(server, tmp_path, patient)
        agent.send_event("tap")
        assert not agent.flush(0.2)
        agent.close(0)
        clock.advance(3_600)
        with _agent(server, tmp_path, clock) as agent:
            agent.send_event("later")
            assert agent.flush(WAIT_SECONDS_MAX)

        assert server.names == ["tap", "later"]
        first, second, *_ = server.attempts
        assert first.rest == second.rest
        assert first.sent_at == "2026-03-01T12:00:00.000Z"
        assert second.sent_at == "2026-03-01T13:00:00.000Z"


def test_logs_of_a_device_that_was_offline_get_the_time_they_happened(
    tmp_path: Path, clock: DeviceClock
) -> None:
    with device_server(Reply(status=503)) as server, _agent(server, tmp_path, clock) as agent:
        agent.send_event("tap")
        clock.advance(600)
        assert agent.flush(WAIT_SECONDS_MAX)

        (batch,) = server.batches.values()
        ((*_, at, _, _),) = batch.rows[Kind.EVENT]
        assert datetime.fromtimestamp(int(str(at)) / 1e6, UTC) == RECEIVED_AT - timedelta(
            seconds=600
        )


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(status=status) for status in (401, 403, 404, 405, 408, 409, 429, 500, 503, 507)),
        Reply(status=302, headers={"Location": "/collect/v1/batch"}),
        Reply(status=200, body=b"<html>Please log in to the wireless network"),
        Reply(status=202, body=b"{}"),
        Reply(status=202, body=b"[" * 100_000),
        Reply(status=202, body=b" " * 2_000_000 + b'{"accepted":1,"refused":[]}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:9].decode()}",
)
def test_an_answer_that_says_nothing_about_the_batch_is_no_answer(
    tmp_path: Path, clock: DeviceClock, reply: Reply
) -> None:
    with device_server(reply, reply) as server, _agent(server, tmp_path, clock) as agent:
        agent.send_event("tap")
        assert agent.flush(WAIT_SECONDS_MAX)

        assert server.names == ["tap"]
        assert len(server.attempts) == 3
        assert agent.refused == ()


@pytest.mark.parametrize(
    ("retry_after", "least"),
    [
        (lambda: "120", 120.0),
        (lambda: format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3_500.0),
        (lambda: "999999999", RETRY_AFTER_SECONDS_MAX),
        (lambda: "soon", 0.0),
    ],
    ids=["seconds", "date", "too long", "nonsense"],
)
def test_a_server_that_asks_for_a_pause_gets_it(
    tmp_path: Path, clock: DeviceClock, retry_after: Callable[[], str], least: float
) -> None:
    busy = Reply(status=503, headers={"Retry-After": retry_after()})
    with (
        device_server(busy) as server,
        _agent(server, tmp_path, clock, flush_seconds=0.5) as agent,
    ):
        agent.send_event("tap")
        assert agent.flush(WAIT_SECONDS_MAX)

    (pause,) = {seconds for seconds in clock.waits if seconds != 0.5}
    assert least < pause <= least + 101


def test_pauses_double_and_are_never_quite_the_same(tmp_path: Path, clock: DeviceClock) -> None:
    failures = 12
    with (
        device_server(*[Reply(status=500)] * failures) as server,
        _agent(server, tmp_path, clock, flush_seconds=0.25) as agent,
    ):
        agent.send_event("tap")
        assert agent.flush(WAIT_SECONDS_MAX)

    pauses = [seconds for seconds in clock.waits if seconds != 0.25]
    assert len(pauses) == failures
    for count, pause in enumerate(pauses):
        longest = min(PAUSE_SECONDS_MAX, 2.0**count)
        assert longest / 2 <= pause <= longest
    assert all(item != other for item, other in pairwise(pauses))


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_batch_that_can_never_be_accepted_is_set_aside_and_counted(
    tmp_path: Path, status: int
) -> None:
    clock = DeviceClock(is_hasty=False)
    refusal = json.dumps({"error": {"code": "CorruptInput", "message": "It is no batch."}}).encode()
    with device_server(Reply(status=status, body=refusal)) as server:
        with _agent(server, tmp_path, clock) as agent:
            agent.set_user_id("ada")
            agent.send_event("bad")
            agent.send_event("bad too")
            agent.set_user_id("bob")  # cuts another batch
            agent.send_event("good")
            assert agent.flush(WAIT_SECONDS_MAX)
        with _agent(server, tmp_path, clock) as agent:
            refused = agent.refused

    assert server.names == ["good"]
    assert len(server.attempts) == 2
    ((code, logs, message),) = (
        (refusal.code, refusal.logs, refusal.message) for refusal in refused
    )
    assert (code, logs, message) == (f"batch_refused_{status}", 2, "It is no batch.")


def test_single_logs_that_the_server_refuses_are_counted_by_reason(tmp_path: Path) -> None:
    clock = DeviceClock(is_hasty=False)
    refusals = [
        {"index": 0, "code": "bad_name", "message": "name must be shorter."},
        {"index": 1, "code": "bad_name", "message": "name must be nicer."},
    ]
    answer = json.dumps({"accepted": 1, "refused": refusals}).encode()
    with (
        device_server(Reply(status=202, body=answer)) as server,
        _agent(server, tmp_path, clock) as agent,
    ):
        for name in ("one", "two", "three"):
            agent.send_event(name)
        assert agent.flush(WAIT_SECONDS_MAX)
        (loss,) = agent.refused

    assert (loss.code, loss.logs, loss.message) == ("bad_name", 2, "name must be nicer.")


def test_what_was_reported_offline_arrives_when_the_server_can_be_reached(
    tmp_path: Path, clock: DeviceClock
) -> None:
    with device_server() as closed:
        address, port = closed.address, closed.server_port
    with _agent(address, tmp_path, clock) as agent:
        for number in range(250):
            agent.send_event(f"tap {number}")
        assert not agent.flush(0.1)
        assert agent.waiting == 250

        with device_server(port=port) as server:
            assert agent.flush(WAIT_SECONDS_MAX)

            assert server.names == [f"tap {number}" for number in range(250)]
            assert max(len(attempt.content["logs"]) for attempt in server.attempts) == 100


def test_a_server_that_hangs_neither_stops_the_app_nor_makes_a_log_arrive_twice(
    tmp_path: Path, clock: DeviceClock
) -> None:
    with device_server(Reply(is_held=True)) as server:
        agent = _agent(server, tmp_path, clock)
        agent.send_event("before")
        wait_for_event(server.held, "a request that is held")
        agent.send_event("meanwhile")
        agent.close(0)
        with _agent(server, tmp_path, clock) as agent:
            assert agent.flush(WAIT_SECONDS_MAX)
        server.release.set()

    assert sorted(server.names) == ["before", "meanwhile"]


def test_logs_are_gathered_until_a_batch_is_full(tmp_path: Path) -> None:
    patient = DeviceClock(is_hasty=False)
    with device_server(Reply(is_held=True)) as server:
        agent = _agent(server, tmp_path, patient, batch_logs_max=3)
        for number in range(3):
            agent.send_event(f"tap {number}")

        wait_for_event(server.held, "a request that is held")
        server.release.set()
        agent.close(WAIT_SECONDS_MAX)

    assert [len(attempt.content["logs"]) for attempt in server.attempts] == [3]


def test_a_crash_is_sent_at_once(tmp_path: Path) -> None:
    with device_server(Reply(is_held=True)) as server:
        patient = DeviceClock(is_hasty=False)
        agent = _agent(server, tmp_path, patient)
        agent.send_crash("ValueError", "stack")

        wait_for_event(server.held, "a request that is held")
        server.release.set()
        agent.close(WAIT_SECONDS_MAX)


def test_threads_may_share_an_agent(tmp_path: Path, clock: DeviceClock) -> None:
    def report(agent: DeviceAgent, thread: int) -> None:
        for number in range(50):
            with agent.start_job(f"job {thread} {number}"):
                agent.start_activity(f"activity {thread} {number}")
                agent.send_event(f"event {thread} {number}")

    with device_server() as server, _agent(server, tmp_path, clock, batch_logs_max=7) as agent:
        threads = [threading.Thread(target=report, args=(agent, number)) for number in range(4)]
        for item in threads:
            item.start()
        join_threads(threads, "reports of all threads")
        agent.end_activity()
        assert agent.flush(WAIT_SECONDS_MAX)

        assert len(server.names) == len(set(server.names)) == 4 * 50 * 3


def test_large_logs_make_small_batches_that_are_compressed(
    tmp_path: Path, clock: DeviceClock
) -> None:
    stack = "x" * (BATCH_BYTES_MAX // 3)
    with device_server(Reply(status=503)) as server, _agent(server, tmp_path, clock) as agent:
        for _ in range(4):
            agent.send_crash("ValueError", stack)
        assert agent.flush(WAIT_SECONDS_MAX)

        assert len(server.logs) == 4
        assert all(len(attempt.body) < BATCH_BYTES_MAX + 10_000 for attempt in server.attempts)
        assert all(attempt.headers["content-encoding"] == "gzip" for attempt in server.attempts)


def test_each_log_names_the_user_of_its_time(tmp_path: Path, clock: DeviceClock) -> None:
    with device_server() as server:
        with _agent(server, tmp_path, clock) as agent:
            agent.send_event("nobody")
            agent.set_user_id("ada")
            agent.send_event("ada")
        with _agent(server, tmp_path, clock) as agent:
            agent.send_event("ada still")
            agent.set_user_id(None)
            agent.send_event("nobody again")

    users = [(log["name"], log["head"]["userId"]) for log in server.logs]
    assert users == [
        ("nobody", None), ("ada", "ada"), ("ada still", "ada"), ("nobody again", None),
    ]  # fmt: skip
    assert len({log["head"]["deviceId"] for log in server.logs}) == 1


def test_the_app_key_is_on_the_wire_and_nowhere_else(tmp_path: Path, clock: DeviceClock) -> None:
    with device_server() as server, _agent(server, tmp_path, clock) as agent:
        agent.send_event("tap")
        assert agent.flush(WAIT_SECONDS_MAX)
        shown = repr(agent)
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())

    assert server.attempts[0].headers["authorization"] == f"Bearer {APP_KEY}"
    assert APP_KEY not in shown
    assert b"tap" in kept
    assert APP_KEY.encode() not in kept
