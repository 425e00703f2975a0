"""Tests that the inbox keeps each batch once, in order, for as long as it must."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from engagement.store.queries import inbox
from engagement.store.queries.inbox import AcceptedContent, InboxQueries, InboxRow, Submission
from support.batches import NOW
from support.home import APP_ID
from support.waiting import WAIT_SECONDS_MAX, join_threads

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def submission(*keys: str, logs: int = 1, app_id: str = APP_ID) -> Submission:
    """Something to accept whose row is named by those of its keys that are new."""

    def kept(known: frozenset[str]) -> AcceptedContent:
        name = " ".join(key for key in keys if key not in known)
        row = InboxRow(
            app_id=app_id, batch_id=name, received_at=NOW, records=logs, payload=name.encode()
        )
        return AcceptedContent(rows=[row])

    return Submission(app_id=app_id, received_at=NOW, keys=keys, content=kept)


def test_the_inbox_gives_the_oldest_first_within_the_limits(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    other = "b" * 32
    queries.accept(
        [submission("a", logs=2), submission("o", app_id=other), submission("b", logs=2)]
    )
    newest = queries.newest_position(APP_ID)
    queries.accept([submission("c", logs=2)])

    def taken(**limits: int) -> list[str]:
        return [row.batch_id for row in queries.oldest(APP_ID, **limits)]

    assert taken(records_max=1, position_max=newest) == ["a"]
    assert taken(records_max=2, position_max=newest) == ["a"]
    assert taken(records_max=3, position_max=newest) == ["a", "b"]
    assert taken(records_max=9, position_max=newest) == ["a", "b"]
    assert taken(records_max=9, position_max=newest + 1) == ["a", "b", "c"]
    assert sorted(queries.list_waiting()) == sorted([APP_ID, other])
    assert queries.depth() == 7


def test_accepting_nothing_is_nothing(engine: sa.Engine) -> None:
    assert InboxQueries(engine).accept([]) == []


def test_a_batch_id_is_known_until_its_day_is_forgotten(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEYS_AT_ONCE", 1)
    queries = InboxQueries(engine)

    assert queries.accept([submission("a"), submission("a")]) == [1, 0]
    assert queries.accept([submission("a"), submission("b")]) == [0, 1]
    queries.forget_keys(NOW)
    assert queries.accept([submission("a"), submission("b")]) == [0, 0]
    queries.forget_keys(NOW + DAY)
    assert queries.accept([submission("a"), submission("b")]) == [1, 1]


def test_of_a_submission_with_several_keys_only_what_is_new_is_kept(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)

    assert queries.accept([submission("a", "b"), submission("b", "c"), submission("a", "c")]) == [
        2,
        1,
        0,
    ]
    assert queries.accept([submission("c", "d", "d"), submission("a", app_id="b" * 32)]) == [1, 1]
    kept = queries.oldest(APP_ID, records_max=9, position_max=2**31)
    assert [row.batch_id for row in kept] == ["a b", "c", "d d"]


def test_batches_accepted_at_once_are_each_accepted_once(engine: sa.Engine) -> None:
    """Several doors may get the same batch, since a device that saw no answer sends it again."""
    queries = InboxQueries(engine)
    ids = [f"batch {number}" for number in range(20)]
    answers: list[list[int]] = []
    together = threading.Barrier(4)

    def accept() -> None:
        together.wait(WAIT_SECONDS_MAX)
        answers.append([queries.accept([submission(item)])[0] for item in ids])

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    join_threads(threads, "batches of all threads")

    assert [sum(answer) for answer in zip(*answers, strict=True)] == [1] * len(ids)
    assert queries.depth() == len(ids)
