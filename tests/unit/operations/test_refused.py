"""Tests that refused records are kept, and that a replay loses and doubles nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engagement.collect import limits, wellformed
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.collect.refused import (
    make_unreadable_record,
)
from engagement.exceptions import CorruptInputError
from engagement.model.records import Kind, new_guid
from engagement.model.refused import RefusedEntry, RefusedFilter, RefusedRecord, SenderProtocol
from engagement.operations import list_refused, replay_refused
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.queries.refused import RefusedQueries, Replay
from engagement.store.state import open_state
from support.batches import NOW, batch, log
from support.home import StoppedError
from unit.collect.test_refused import LONG, refused_in

LATER = NOW + timedelta(days=3)
"""A name that is one character too long."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    home: Path = tmp_path_factory.mktemp("refused") / "home"
    with open_service(Settings(home=home), clock=lambda: LATER) as service:
        yield service


def collect(runtime: Runtime, app_id: str, body: bytes) -> None:
    """Accept what is good of a live batch, and keep what is not."""
    decoded = decode_batch(body, received_at=NOW, live=True)
    accept(runtime.inbox, app_id, [decoded], received_at=NOW)
    runtime.refused.add(refused_in(body, app_id=app_id))


def names(runtime: Runtime, app_id: str) -> list[tuple[str, str, Any]]:
    """Device, name and time of each event in the lake, after a flush."""
    runtime.flush(app_id)
    commit = runtime.inbox.last_commits(app_id).get(Kind.EVENT)
    if commit is None:
        return []
    paths = [file.path for file in runtime.lake.files(app_id, Kind.EVENT, commit.version)]
    rows = runtime.lake.scan(app_id, Kind.EVENT, paths).collect().to_dicts()
    return sorted((row["device_id"], row["name"], row["timestamp"]) for row in rows)


def kept(runtime: Runtime, app_id: str) -> list[RefusedEntry]:
    return list_refused(runtime, RefusedFilter(app_id=app_id), limit=1000)


def tracked(app_id: str) -> RefusedRecord:
    """A record of a protocol that nothing reads."""
    error = CorruptInputError("It is no message.")
    return make_unreadable_record(
        b"{}", error, app_id=app_id, protocol=SenderProtocol.TRACKING, received_at=NOW
    )


def longer_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAME_CHARACTERS_MAX", 100)


def test_a_replay_lands_what_can_be_accepted_now_once_as_at_first(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id, at_first = new_guid(), new_guid()
    # The device's clock is an hour behind, which is told by when its batch was received.
    body = batch(log("event"), log("event", 1, name=LONG), sentAt="2026-03-01T11:00:00Z")
    collect(runtime, app_id, body)
    before = names(runtime, app_id)

    assert replay_refused(runtime, RefusedFilter(app_id=app_id)).refused == {"bad_name": 1}
    assert (names(runtime, app_id), len(kept(runtime, app_id))) == (before, 1)
    longer_names(monkeypatch)
    summary = replay_refused(runtime, RefusedFilter(app_id=app_id))
    again = replay_refused(runtime, RefusedFilter(app_id=app_id))

    collect(runtime, at_first, body)
    assert (summary.tried, summary.replayed, summary.refused) == (1, 1, {})
    assert (again.tried, kept(runtime, app_id)) == (0, [])
    assert names(runtime, app_id) == names(runtime, at_first)
    assert len(names(runtime, app_id)) == len(before) + 1


class Dying(RefusedQueries):
    """Refused records of a process that dies before it can forget what was accepted."""

    def record_replay(self, replay: Replay) -> None:
        raise StoppedError(replay)


def test_a_crash_between_accepting_and_forgetting_changes_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = new_guid()
    chosen = RefusedFilter(app_id=app_id)
    collect(runtime, app_id, batch(log("event", name=LONG), log("event", 1, name=LONG)))
    longer_names(monkeypatch)
    engine = open_state(f"sqlite:///{runtime.settings.home / 'state.db'}")
    with pytest.raises(StoppedError):
        replay_refused(replace(runtime, refused=Dying(engine)), chosen)
    engine.dispose()
    landed = names(runtime, app_id)
    assert (len(landed), len(kept(runtime, app_id))) == (2, 2)

    summary = replay_refused(runtime, chosen)

    assert (summary.tried, summary.replayed) == (2, 2)
    assert kept(runtime, app_id) == []
    assert names(runtime, app_id) == landed


def test_what_cannot_be_accepted_is_not_forgotten(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> datetime:
        raise StoppedError

    app_id = new_guid()
    collect(runtime, app_id, batch(log("event", name=LONG)))
    longer_names(monkeypatch)

    with pytest.raises(StoppedError):
        replay_refused(replace(runtime, clock=fail), RefusedFilter(app_id=app_id))

    assert len(kept(runtime, app_id)) == 1


def test_what_is_refused_again_stays_with_the_reason_that_holds_now(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = new_guid()
    collect(runtime, app_id, batch(log("event", name=LONG, extras={"bad key": 1})))
    (before,) = kept(runtime, app_id)
    longer_names(monkeypatch)

    summary = replay_refused(runtime, RefusedFilter(app_id=app_id))

    (after,) = kept(runtime, app_id)
    assert (before.code, after.code) == ("bad_name", "bad_extras")
    assert after == replace(before, code="bad_extras", message=after.message)
    assert (summary.replayed, summary.refused) == (0, {"bad_extras": 1})


def test_a_whole_body_leaves_only_its_bad_logs_behind(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the replay is interrupted and repeated."""
    app_id = new_guid()
    deep = json.loads("[" * 40 + "]" * 40)
    body = batch(log("event"), log("event", 1, name=""), deep=deep)
    with pytest.raises(CorruptInputError) as caught:
        decode_batch(body, received_at=NOW, live=True)
    fields = {"app_id": app_id, "protocol": SenderProtocol.NATIVE, "received_at": NOW}
    runtime.refused.add([make_unreadable_record(body, caught.value, **fields)] * 2)
    monkeypatch.setattr(wellformed, "JSON_DEPTH_MAX", 50)
    accept(
        runtime.inbox,
        app_id,
        [decode_batch(body, received_at=NOW, live=True)],
        received_at=LATER,
    )

    summary = replay_refused(runtime, RefusedFilter(app_id=app_id))

    assert (summary.tried, summary.replayed, summary.refused) == (2, 2, {"bad_name": 2})
    assert {(record.code, record.received_at) for record in kept(runtime, app_id)} == {
        ("bad_name", NOW)
    }
    assert len(names(runtime, app_id)) == 1


def test_a_replay_goes_through_all_that_there_were_and_no_more(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id, other = new_guid(), new_guid()
    good = [batch(log("event", number, name=LONG)) for number in range(100)]
    for body in good:
        collect(runtime, app_id, body)
    collect(runtime, other, batch(log("event", name=LONG)))
    longer_names(monkeypatch)
    tried: list[int] = []

    def come_meanwhile(summary: Any) -> None:
        tried.append(summary.tried)
        runtime.refused.add([tracked(app_id)])

    replay_refused(runtime, RefusedFilter(app_id=app_id), come_meanwhile)

    assert tried == sorted(set(tried))
    assert (len(tried) > 1, tried[-1]) == (True, 100)
    assert {record.protocol for record in kept(runtime, app_id)} == {SenderProtocol.TRACKING}
    assert len(kept(runtime, app_id)) == len(tried)
    assert len(names(runtime, app_id)) == 100
    assert len(kept(runtime, other)) == 1
