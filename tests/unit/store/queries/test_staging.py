"""Tests that batches become staged changes, and these numbered commits, once, in both databases."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement.model.records import Kind
from engagement.store.commits import Commit, FileChange, OpenCommit, TableChange
from engagement.store.queries.inbox import AcceptedContent, InboxQueries, InboxRow, Submission
from engagement.store.queries.sightings import OpenSession, SightingQueries, Sightings
from engagement.store.queries.staging import ClosedCommit, StagingQueries

APP_ID = "a" * 32
NOW = datetime(2026, 3, 1, 12, 30, 15, 123_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOTHING_SEEN = Sightings()


def accept(engine: sa.Engine, *names: str) -> list[InboxRow]:
    """Put batches into the inbox; all that waits there."""
    inbox = InboxQueries(engine)
    for name in names:
        row = InboxRow(app_id=APP_ID, batch_id=name, received_at=NOW, records=1, payload=b"")
        kept = partial(_keep_all, AcceptedContent(rows=(row,)))
        inbox.accept([Submission(app_id=APP_ID, received_at=NOW, keys=(name,), content=kept)])
    return inbox.oldest(APP_ID, records_max=1_000, position_max=2**31)


def _keep_all(content: AcceptedContent, known: frozenset[str]) -> AcceptedContent:
    del known
    return content


def change(name: str, *, rows: int = 1, day: date | None = date(2026, 3, 1)) -> TableChange:
    file = FileChange(path=f"{name}.parquet", bytes=7, rows=rows, day=day, statistics="{}")
    return TableChange(added=(file,))


def closed(pending: OpenCommit, *, version: int) -> ClosedCommit:
    rows = pending.recorded_rows + sum(change.rows for change in pending.changes.values())
    commit = Commit(kind=pending.kind, version=version, rows_total=rows, sha256=f"{version:064x}")
    return ClosedCommit(commit_id=pending.commit_id, commit=commit)


def stage(engine: sa.Engine, rows: list[InboxRow], **changes: TableChange) -> bool:
    kinds = {Kind(name): each for name, each in changes.items()}
    return StagingQueries(engine).stage_round(APP_ID, rows, kinds, seen=NOTHING_SEEN, staged_at=NOW)


def test_a_batch_leaves_the_inbox_with_what_it_became(engine: sa.Engine) -> None:
    first, second = accept(engine, "a", "b")
    session = OpenSession(session_id="s", device_id="d", start=NOW, end=NOW)
    staging, sightings = StagingQueries(engine), SightingQueries(engine)

    is_staged = staging.stage_round(
        APP_ID,
        [first],
        {Kind.EVENT: change("one")},
        seen=Sightings(sessions=[session]),
        staged_at=NOW,
    )

    assert is_staged
    assert accept(engine) == [second]
    assert [file.path for file in staging.list_staged(APP_ID, Kind.EVENT)] == ["one.parquet"]
    assert list(sightings.sessions_of(APP_ID, ["d", "e"], since=NOW, until=NOW)) == [session]
    assert list(sightings.sessions_of(APP_ID, ["d"], since=NOW + SECOND, until=NOW + SECOND)) == []
    assert list(sightings.sessions_of(APP_ID, ["d"], since=NOW - SECOND, until=NOW - SECOND)) == []


def test_a_round_of_which_a_batch_is_gone_changes_nothing(engine: sa.Engine) -> None:
    """Somebody else read the same batches and was quicker."""
    first, second, third = accept(engine, "a", "b", "c")
    assert stage(engine, [first], event=change("mine"))

    is_staged = stage(engine, [first, second], event=change("theirs"))

    assert not is_staged
    assert accept(engine) == [second, third]
    staged = StagingQueries(engine).list_staged(APP_ID, Kind.EVENT)
    assert [file.path for file in staged] == ["mine.parquet"]


def test_an_open_commit_holds_what_was_staged_before_it(engine: sa.Engine) -> None:
    staging = StagingQueries(engine)
    rows = accept(engine, "a", "b")
    stage(engine, rows[:1], event=change("one"), tag=change("tag", day=None))

    pending = staging.open_commits(APP_ID)
    stage(engine, rows[1:], event=change("two"))
    again = staging.open_commits(APP_ID)

    assert [(each.kind, each.commit_id) for each in pending] == [(Kind.EVENT, 1), (Kind.TAG, 1)]
    assert again == pending
    assert staging.open_commit(APP_ID, Kind.EVENT) == pending[0]
    (frozen,) = pending[0].changes.values()
    assert frozen == change("one")


def test_a_closed_commit_is_recorded_and_the_next_has_another_number(engine: sa.Engine) -> None:
    staging, inbox = StagingQueries(engine), InboxQueries(engine)
    rows = accept(engine, "a", "b")
    stage(engine, rows[:1], event=change("one", rows=5))
    (first,) = staging.open_commits(APP_ID)
    stage(engine, rows[1:], event=change("two", rows=2))

    staging.close(APP_ID, [closed(first, version=0)], committed_at=NOW)
    (second,) = staging.open_commits(APP_ID)

    assert inbox.last_commits(APP_ID) == {Kind.EVENT: closed(first, version=0).commit}
    assert (second.commit_id, second.recorded_version, second.recorded_rows) == (2, 0, 5)
    staging.close(APP_ID, [closed(second, version=1)], committed_at=NOW)
    assert inbox.last_commits(APP_ID)[Kind.EVENT].rows_total == 7
    assert inbox.last_commits("b" * 32) == {}
    assert inbox.apps_with_tables() == [APP_ID]
    assert staging.open_commits(APP_ID) == []
    assert staging.open_commit(APP_ID, Kind.EVENT) is None


def test_whoever_closes_late_changes_nothing(engine: sa.Engine) -> None:
    """It was stopped, and another has closed its commit and opened the next."""
    staging, inbox = StagingQueries(engine), InboxQueries(engine)
    rows = accept(engine, "a", "b")
    stage(engine, rows[:1], event=change("one"))
    (first,) = staging.open_commits(APP_ID)
    staging.close(APP_ID, [closed(first, version=0)], committed_at=NOW)
    stage(engine, rows[1:], event=change("two"))
    (second,) = staging.open_commits(APP_ID)

    staging.close(APP_ID, [closed(first, version=9)], committed_at=NOW)

    assert inbox.last_commits(APP_ID)[Kind.EVENT].version == 0
    assert staging.open_commits(APP_ID) == [second]


def test_where_nothing_is_staged_nobody_takes_the_right_to_write(engine: sa.Engine) -> None:
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *event: statements.append(event[2]))

    assert StagingQueries(engine).open_commits(APP_ID) == []

    assert statements
    assert all(statement.startswith(("BEGIN", "SELECT")) for statement in statements)
    assert "BEGIN IMMEDIATE" not in statements


def test_a_rewrite_waits_with_the_others_and_is_named(engine: sa.Engine) -> None:
    staging = StagingQueries(engine)
    rewrite = TableChange(added=change("new").added, removed=change("old").added)

    group = staging.stage_rewrite(APP_ID, Kind.EVENT, rewrite, staged_at=NOW)
    (pending,) = staging.open_commits(APP_ID)

    assert pending.changes == {group: rewrite}
    assert rewrite.rows == 0


def test_positions_are_never_given_twice(engine: sa.Engine) -> None:
    """A batch that is read, and one that comes later, must not be taken for each other."""
    rows = accept(engine, "a")
    stage(engine, rows)

    (later,) = accept(engine, "b")

    assert later.position > rows[0].position


operations = st.lists(
    st.sampled_from(["accept", "take", "freeze", "close", "close late"]), max_size=25
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
def test_every_batch_is_recorded_once_in_any_order(engine: sa.Engine, steps: list[str]) -> None:
    """Flushes and committers that do as they like, against a count of what was accepted."""
    staging = StagingQueries(engine)
    begun = InboxQueries(engine).last_commits(APP_ID).get(Kind.EVENT)
    rows_before = 0 if begun is None else begun.rows_total
    version = -1 if begun is None else begun.version
    accepted, seen = 0, list[OpenCommit]()

    def close(pending: OpenCommit) -> None:
        nonlocal version
        version += 1
        staging.close(APP_ID, [closed(pending, version=version)], committed_at=NOW)

    for step in [*steps, "take", "freeze", "close", "take", "freeze", "close"]:
        match step:
            case "accept":
                accepted += 1
                accept(engine, f"{version}-{accepted}-{len(seen)}-{datetime.now(UTC).isoformat()}")
            case "take":
                rows = accept(engine)
                stage(engine, rows, event=change("file", rows=len(rows)))
            case "freeze":
                seen += staging.open_commits(APP_ID)
            case "close" if seen:
                close(seen[-1])
            case "close late" if seen:
                close(seen[0])

    recorded = InboxQueries(engine).last_commits(APP_ID)[Kind.EVENT]
    assert recorded.rows_total == rows_before + accepted
    assert accept(engine) == []
