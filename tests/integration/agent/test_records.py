"""Holds what the agent accepts to what a server accepts: the same, log by log."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement import DeviceAgent
from engagement.agent.records import (
    crash_record,
    feedback_record,
    record_with_name,
    tags_record,
    token_record,
)
from engagement.collect.payload import decode_batch
from engagement.exceptions import BadInputError, CorruptInputError
from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from engagement.model.records import Kind
from support.device_server import RECEIVED_AT, DeviceClock

AT = DeviceClock().at
HALF = "\ud83d"

texts = st.text(st.characters(), max_size=70) | st.sampled_from(
    ["", "a" * 64, "é" * 65, "line\n", "\x7f", "\x85", HALF, '"\\/\u2028']
)  # fmt: skip
numbers = (
    st.integers() | st.floats() | st.sampled_from([10**308, 10**309, -(2**1024), 1e-320, -0.0])
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
keys = st.from_regex(r"[a-zA-Z_0-9]{1,66}", fullmatch=True) | texts
extras = st.dictionaries(keys, values, max_size=4)


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def _log(make: Any, *given_: Any) -> str | None:
    """The log, None if the agent refuses it at the call."""
    try:
        log: str = make(*given_)
    except BadInputError:
        return None
    return log


def _server_accepts(log: dict[str, Any]) -> bool:
    """Whether a server takes the log as a program would write it that checks nothing."""
    batch = {"batchId": "b", "sentAt": "2026-03-01T12:00:00Z", "deviceId": "d", "logs": [log]}
    try:
        body = json.dumps({**batch, "logs": [log]}).encode()
        return decode_batch(body, received_at=RECEIVED_AT, live=True).accepted == 1
    except (CorruptInputError, ValueError):
        return False


def _is_kept(log: str) -> bool:
    body = f'{{"batchId":"b","sentAt":"2026-03-01T12:00:00Z","deviceId":"d","logs":[{log}]}}'
    return decode_batch(body.encode(), received_at=RECEIVED_AT, live=True).accepted == 1


@given(name=texts, extras=st.none() | extras)
@example(name="n", extras={})
@example(name="n", extras={"k": {"\x1f": HALF}})
@example(name="n", extras={"k": {"": {"\x1f": None}}})
@example(name="n", extras={"k": {HALF: None}})
@example(name="n", extras={"k": "x" * (1024 - len('{"k":""}'))})
@example(name="n", extras={"k": "x" * (1025 - len('{"k":""}'))})
@example(name="n", extras={"k": "é" * (1024 - len('{"k":""}'))})
@example(name="n", extras={f"k{number}": 1 for number in range(201)})
def test_a_named_log_is_accepted_by_the_agent_if_a_server_accepts_it(
    name: str, extras: dict[str, Any] | None
) -> None:
    log = _log(record_with_name, Kind.EVENT, name, AT, extras)

    wanted = {"type": "event", "timestamp": "2026-03-01T12:00:00Z", "name": name, "extras": extras}
    assert (log is not None) == _server_accepts(wanted)
    assert log is None or _is_kept(log)


def test_extras_nest_as_deep_as_a_batch_may() -> None:
    log = _log(record_with_name, Kind.EVENT, "n", AT, {"k": _nested(28)})

    assert log is not None
    assert _is_kept(log)
    assert _log(record_with_name, Kind.EVENT, "n", AT, {"k": _nested(29)}) is None


@given(
    tags=st.dictionaries(
        keys, scalars | st.lists(scalars, max_size=1) | st.text("x", min_size=1023, max_size=1025)
    )
)
@example(tags={f"k{number}": 1 for number in range(201)})
@example(tags={"low": -(2**63), "high": 2**63 - 1})
@example(tags={"too_high": 2**63})
@example(tags={"part": 1.0})
def test_tags_are_accepted_by_the_agent_if_a_server_accepts_them(tags: dict[str, Any]) -> None:
    log = _log(tags_record, tags, AT)

    wanted = {"type": "tags", "timestamp": "2026-03-01T12:00:00Z", "tags": tags}
    assert (log is not None) == _server_accepts(wanted)
    assert log is None or _is_kept(log)


@given(token=texts | st.sampled_from(["t" * 4096, "t" * 4097]), token_type=texts)
def test_a_token_is_accepted_by_the_agent_if_a_server_accepts_it(
    token: str, token_type: str
) -> None:
    def make(token: str, token_type: str) -> str:
        return token_record(token, token_type, AT, is_valid=True)

    log = _log(make, token, token_type)

    wanted = {"type": "token", "timestamp": "2026-03-01T12:00:00Z"}
    wanted |= {"token": token, "tokenType": token_type}
    assert (log is not None) == _server_accepts(wanted)


@given(
    campaign_type=st.sampled_from([*CampaignType]) | texts,
    campaign_id=st.integers() | st.sampled_from([0, 2**63 - 1, 2**63]),
    status=st.sampled_from(FEEDBACK_STATUSES) | texts,
)
def test_feedback_is_accepted_by_the_agent_if_a_server_accepts_it(
    campaign_type: str, campaign_id: int, status: str
) -> None:
    log = _log(feedback_record, campaign_type, campaign_id, status, AT)

    wanted = {"type": "feedback", "timestamp": "2026-03-01T12:00:00Z", "status": status}
    wanted |= {"campaignType": campaign_type, "campaignId": campaign_id}
    assert (log is not None) == _server_accepts(wanted)


@pytest.mark.parametrize("stack", ["", "x" * 262_144, "x" * 262_145, HALF, "\x00\n"])
def test_a_crash_is_accepted_by_the_agent_if_a_server_accepts_it(stack: str) -> None:
    def make(stack: str) -> str:
        return crash_record("ValueError", stack, AT, session_id=None)

    wanted = {"type": "crash", "timestamp": "2026-03-01T12:00:00Z", "name": "e", "stack": stack}
    assert (_log(make, stack) is not None) == _server_accepts(wanted)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[DeviceAgent]:
    with DeviceAgent("http://127.0.0.1:9", "key", folder=tmp_path) as agent:
        yield agent
        agent.close(0)


@pytest.mark.parametrize("name", [None, 5, b"tap"])
def test_a_name_of_another_type_is_refused_at_the_call(agent: DeviceAgent, name: Any) -> None:
    with pytest.raises(BadInputError, match="name must be a string, got "):
        agent.send_event(name)

    assert agent.waiting == 0


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", AT, {1: "one"}])
def test_extras_that_json_cannot_hold_are_refused_at_the_call(
    agent: DeviceAgent, value: Any
) -> None:
    with pytest.raises(BadInputError, match=r"extras\.k must"):
        agent.send_event("tap", {"k": value})

    assert agent.waiting == 0


def test_a_refused_token_is_not_quoted(agent: DeviceAgent) -> None:
    with pytest.raises(BadInputError) as refused:
        agent.register_token("secret\n", "GCM")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"server": "http://shop.example"}, "https"),
        ({"server": "shop.example"}, "https://HOST"),
        ({"app_key": "a\nb"}, "printable ASCII"),
        ({"app_key": ""}, "printable ASCII"),
        ({"device_id": "d" * 257}, "device_id must have 1 to 256"),
        ({"info": {"colour": "red"}}, "info may hold firmwareName"),
        ({"info": {"screenWidth": "wide"}}, "info.screenWidth must be an integer"),
        ({"batch_logs_max": 1_001}, "batch_logs_max must be from 1 to 1000"),
        ({"batch_logs_max": 2.5}, "batch_logs_max must be from 1 to 1000"),
        ({"flush_seconds": "5"}, "flush_seconds must be"),
        ({"flush_seconds": 0}, "flush_seconds must be"),
        ({"session_timeout_seconds": -1}, "session_timeout_seconds must be"),
        ({"queue_bytes_max": 0}, "queue_bytes_max must be"),
    ],
)
def test_an_agent_that_cannot_work_is_refused_and_leaves_no_folder(
    tmp_path: Path, given_: dict[str, Any], message: str
) -> None:
    arguments = {"server": "http://127.0.0.1:9", "app_key": "key", "folder": tmp_path / "new"}

    with pytest.raises(BadInputError, match=re.escape(message)):
        DeviceAgent(**arguments | given_)

    assert not (tmp_path / "new").exists()
