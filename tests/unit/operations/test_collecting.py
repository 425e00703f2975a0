"""Tests that what one public key sends names few days, so that a flush writes few files for it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from engagement import operations
from engagement.model.instants import format_rfc3339
from engagement.model.records import Kind, new_guid
from engagement.model.refused import RefusedFilter
from engagement.operations import Collected
from engagement.runtime.opening import Runtime
from engagement.testing import NOON, open_test_runtime
from support.batches import batch
from support.whole_service import register_app

DAYS_MAX = 20
"""What `ENGAGEMENT_RECORD_AGE_DAYS` is here."""
DAYS_SENT = 60
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    home = tmp_path_factory.mktemp("collecting") / "home"
    with open_test_runtime(home, record_age_days_max=DAYS_MAX) as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    return register_app(runtime, new_guid()).app_id


def post_batch(runtime: Runtime, app_id: str, *ages: timedelta) -> Collected:
    """Post events of such ages as a device does."""
    events = [
        {"type": "event", "name": str(age), "timestamp": format_rfc3339(NOON - age)} for age in ages
    ]
    return operations.collect_batch(runtime, app_id, batch(*events), content_encoding=None)


def post_messages(runtime: Runtime, app_id: str, *ages: timedelta) -> Collected:
    """Post tracking messages of such ages."""
    messages = [
        {
            "type": "track",
            "event": str(age),
            "anonymousId": "a",
            "messageId": new_guid(),
            "timestamp": format_rfc3339(NOON - age),
        }
        for age in ages
    ]
    body = json.dumps({"batch": messages}).encode()
    posted = operations.read_posted(runtime, body, content_encoding=None, message_type=None)
    return operations.collect_messages(runtime, app_id, posted)


POSTS = [post_batch, post_messages]
Post = Callable[..., Collected]


def count_files(runtime: Runtime, app_id: str, kind: Kind) -> int:
    """Files of a table after a flush."""
    runtime.flush(app_id)
    commit = runtime.inbox.last_commits(app_id)[kind]
    return len(runtime.lake.files(app_id, kind, commit.version))


@pytest.mark.parametrize("post", POSTS)
def test_days_that_a_key_can_name_are_bounded_over_all_that_it_sends(
    runtime: Runtime, app_id: str, post: Post
) -> None:
    for first in range(0, DAYS_SENT, 15):
        days = range(first, first + 15)
        post(runtime, app_id, *(timedelta(days=400 * day) for day in days)).durable.result()
        post(runtime, app_id, *(timedelta(days=day) for day in days)).durable.result()

    assert count_files(runtime, app_id, Kind.EVENT) == DAYS_MAX + 1


@pytest.mark.parametrize("post", POSTS)
def test_a_record_that_is_too_old_is_refused_alone_and_kept_for_an_owner(
    runtime: Runtime, app_id: str, post: Post
) -> None:
    limit = timedelta(days=DAYS_MAX)
    ages = (limit, limit + MILLISECOND, timedelta(days=10_000), timedelta(0))
    collected = post(runtime, app_id, *ages)
    collected.durable.result()

    assert collected.accepted == 2
    kept = operations.list_refused(runtime, RefusedFilter(app_id=app_id), limit=10)
    assert [record.code for record in kept] == ["too_old", "too_old"]
    oldest = format_rfc3339(NOON - limit)
    assert all(oldest in record.message for record in kept)
    assert count_files(runtime, app_id, Kind.EVENT) == 2

    summary = operations.replay_refused(runtime, RefusedFilter(app_id=app_id))
    assert summary.replayed == 2
    assert count_files(runtime, app_id, Kind.EVENT) == 4


def test_a_record_is_as_old_as_it_is_by_our_clock(runtime: Runtime, app_id: str) -> None:
    """A device whose clock shows a year long past sends what has just happened."""
    then = NOON - timedelta(days=9_000)
    event = {"type": "event", "name": "now", "timestamp": format_rfc3339(then)}
    sent = batch(event, sent_at=then)

    collected = operations.collect_batch(runtime, app_id, sent, content_encoding=None)

    assert (collected.accepted, collected.refused) == (1, ())
