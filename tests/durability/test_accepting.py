"""Shows that processes accept side by side without a lock, each batch once."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accepting import FAILED, Acceptors, Round, kept_batches

from engagement.model.records import Kind
from engagement.store.queries import inbox
from support.batches import batch, log
from support.home import open_home
from support.postgres import open_postgres
from support.waiting import join_threads, wait_for_event

PROCESSES = 2
GROUPS = 60
BATCHES_PER_GROUP = 5


@pytest.fixture(scope="module")
def acceptors() -> Iterator[Acceptors]:
    acceptors = Acceptors(PROCESSES)
    try:
        yield acceptors
    finally:
        acceptors.stop()


@pytest.fixture(scope="module")
def state_url() -> Iterator[str]:
    with open_postgres() as url:
        yield url


def batches(state_url: str, plant: str | None = None) -> Round:
    groups = [
        [f"{plant} {group} {number}" for number in range(BATCHES_PER_GROUP)]
        for group in range(GROUPS)
    ]
    return Round(state_url=state_url, groups=groups, plant=plant)


def test_processes_that_accept_at_once_accept_each_batch_once(
    acceptors: Acceptors, state_url: str
) -> None:
    given = batches(state_url)

    by_process = acceptors.accept(given)

    names = [name for group in given.groups for name in group]
    assert [sum(answers) for answers in zip(*by_process, strict=True)] == [1] * len(names)
    assert Counter(kept_batches(given)) == Counter(names)


def test_keys_that_are_added_without_looking_back_keep_batches_twice(
    acceptors: Acceptors, state_url: str
) -> None:
    given = batches(state_url, plant="added_without_looking_back")

    by_process = acceptors.accept(given)

    assert max(sum(answers) for answers in zip(*by_process, strict=True)) > 1
    assert max(Counter(kept_batches(given)).values()) > 1


def test_keys_that_are_looked_for_first_end_in_an_exception(
    acceptors: Acceptors, state_url: str
) -> None:
    """Whoever sends what another process takes in just now must be told that it is kept."""
    by_process = acceptors.accept(batches(state_url, plant="found_then_added"))

    assert FAILED in {answer for answers in by_process for answer in answers}


def test_a_batch_that_appears_below_one_that_was_flushed_is_flushed(
    state_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever accepts first may be done last: no position says that all before it were seen."""
    is_added, goes_on = threading.Event(), threading.Event()
    insert_refused = inbox.insert_refused

    def wait_once(*given: Any) -> None:
        if not is_added.is_set():
            is_added.set()
            wait_for_event(goes_on, "the batch that comes later and is flushed first")
        insert_refused(*given)

    monkeypatch.setattr(inbox, "insert_refused", wait_once)
    with open_home(tmp_path, state_url=state_url) as home:
        slow = threading.Thread(
            target=home.accept, args=[batch(log("event", 0, name="slow"), batch_id="slow")]
        )
        slow.start()
        wait_for_event(is_added, "the first batch to be in a transaction")
        home.take(batch(log("event", 1, name="quick"), batch_id="quick"))
        quick = list(home.rows(Kind.EVENT)["name"])
        goes_on.set()
        join_threads([slow], "the first batch")
        home.flush()

        assert quick == ["quick"]
        rows = home.rows(Kind.EVENT).sort("sequence")
        assert list(rows["name"]) == ["slow", "quick"]
