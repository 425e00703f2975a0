"""Tests that what several requests hand in is made durable together."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import pytest
import sqlalchemy as sa
from polars.exceptions import PanicException

from engagement.collect import group_commit
from engagement.collect.group_commit import GroupCommit
from engagement.collect.inbox import submission_of
from engagement.collect.payload import decode_batch
from engagement.exceptions import OverloadedError, StorageFullError
from engagement.store.queries.inbox import InboxQueries, Submission
from support.batches import NOW, batch, log
from support.home import APP_ID
from support.waiting import WAIT_SECONDS_MAX, wait_for_event


def submission(batch_id: str) -> Submission:
    sent = batch(log("event"), batch_id=batch_id)
    return submission_of(APP_ID, decode_batch(sent, received_at=NOW, live=False), received_at=NOW)


class GatedInbox(InboxQueries):
    """The inbox, whose transactions wait until they are let through."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.error: BaseException | None = None

    def accept(self, submissions: Sequence[Submission]) -> list[int]:
        self.begun.set()
        wait_for_event(self.gate, "the transaction to be let through")
        if self.error is not None:
            raise self.error
        return super().accept(submissions)


@pytest.fixture
def inbox(engine: sa.Engine) -> GatedInbox:
    return GatedInbox(engine)


@pytest.fixture
def commits(inbox: GatedInbox) -> Iterator[GroupCommit]:
    made = GroupCommit(inbox)
    yield made
    inbox.gate.set()
    made.close()


def count(future: Future[int]) -> int:
    return future.result(WAIT_SECONDS_MAX)


def test_what_came_during_a_transaction_shares_the_next(
    inbox: GatedInbox, commits: GroupCommit
) -> None:
    first = commits.accept(submission("first"), size=1)
    wait_for_event(inbox.begun, "the first transaction")
    others = [commits.accept(submission(name), size=1) for name in ("a", "b", "a")]
    inbox.gate.set()

    assert count(first) == 1
    assert [count(future) for future in others] == [1, 1, 0]
    assert commits.transactions == 2


def test_more_than_may_wait_is_refused_and_leaves_the_others(
    inbox: GatedInbox, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAITING_BYTES_MAX", 10)
    commits.accept(submission("first"), size=1)
    wait_for_event(inbox.begun, "the first transaction")
    kept = commits.accept(submission("kept"), size=10)

    with pytest.raises(OverloadedError):
        commits.accept(submission("refused"), size=1)
    inbox.gate.set()
    assert count(kept) == 1


@pytest.mark.parametrize("error", [StorageFullError("full"), PanicException("a panic")])
def test_an_error_reaches_all_who_wait_for_it(
    error: BaseException, inbox: GatedInbox, commits: GroupCommit
) -> None:
    inbox.error = error
    future = commits.accept(submission("a"), size=1)
    inbox.gate.set()

    with pytest.raises(type(error)):
        count(future)
    inbox.error = None
    assert count(commits.accept(submission("a"), size=1)) == 1


def test_closing_waits_for_what_was_handed_in_and_takes_no_more(
    inbox: GatedInbox, commits: GroupCommit
) -> None:
    inbox.gate.set()
    future = commits.accept(submission("a"), size=1)

    commits.close()

    assert future.done()
    with pytest.raises(OverloadedError):
        commits.accept(submission("b"), size=1)
