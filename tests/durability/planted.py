"""Plants bugs, one a promise, to show that the tests of the promises can fail."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from engagement.collect import flush
from engagement.collect.group_commit import GroupCommit
from engagement.deliver.local import LocalDestination
from engagement.export import formats, steps
from engagement.operations import collecting
from engagement.store import durable, keyring, lake, state
from engagement.store.commits import FileChange, OpenCommit
from engagement.store.lake import Lake
from engagement.store.queries import inbox, installation
from engagement.store.queries.plans import PlanQueries, StoredPart
from engagement.store.queries.sightings import Sightings
from engagement.store.recovery import LakeRecovery
from engagement.store.running_time import RunningTime


def names_from_the_clock() -> None:
    """A repeated part gets another name, so it is there twice."""
    name_of = steps.part_name
    steps.part_name = lambda *given: f"{name_of(*given)}.{os.getpid()}"


def receipts_ignored() -> None:
    """Delivered parts are written again after a crash."""
    read_part = PlanQueries.read_part

    def forgetful(self: PlanQueries, task_id: str, index: int) -> StoredPart:
        return replace(read_part(self, task_id, index), is_delivered=False)

    PlanQueries.read_part = forgetful  # type: ignore[method-assign]


def a_row_dropped() -> None:
    """The encoder loses the last row of a frame and says so honestly."""
    frames = formats._frames  # noqa: SLF001

    def losing(*given: Any, **named: Any) -> Iterator[pl.DataFrame]:
        return (frame.head(frame.height - 1) for frame in frames(*given, **named))

    formats._frames = losing  # noqa: SLF001


def a_row_nulled() -> None:
    """The encoder loses a row and does not notice: its text is null."""
    join_pieces = formats.join_pieces

    def losing(row: Any) -> pl.Expr:
        is_last = pl.int_range(pl.len()) == pl.len() - 1
        return pl.when(~is_last).then(join_pieces(row))

    formats.join_pieces = losing


def partial_objects() -> None:
    """The local writer writes in place, so that a kill leaves half an object."""

    def in_place(self: LocalDestination, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                file.flush()

    LocalDestination.put = in_place  # type: ignore[method-assign]


def inbox_emptied_first() -> None:
    """The batches go before their records are in the lake."""
    write_rows = Lake.write_rows

    def late(self: Lake, app_id: str, *given: Any) -> Any:
        with _ENGINES[-1].begin() as connection:
            connection.execute(sa.delete(inbox.inbox).where(inbox.inbox.c.app_id == app_id))
        time.sleep(LEISURE_SECONDS)
        return write_rows(self, app_id, *given)

    made = inbox.InboxQueries.__init__

    def remembering(self: inbox.InboxQueries, engine: Any, *given: Any) -> None:
        _ENGINES.append(engine)
        made(self, engine, *given)

    inbox.InboxQueries.__init__ = remembering  # type: ignore[method-assign]
    Lake.write_rows = late  # type: ignore[method-assign]


def second_half_forgotten() -> None:
    """Of a round that needs too many files, the batches that are to follow go with the first."""
    stage = flush.Flush._stage  # noqa: SLF001

    def forgetful(self: flush.Flush, app_id: str, rows: Sequence[inbox.InboxRow]) -> Any:
        staged = stage(self, app_id, rows)
        if staged is None:
            lost = rows[len(rows) // 2 :]
            self._staging.stage_round(app_id, lost, {}, seen=Sightings(), staged_at=self._clock())
        return staged

    flush.Flush._stage = forgetful  # type: ignore[method-assign]  # noqa: SLF001
    rounds_of_few_files()


def rounds_of_few_files() -> None:
    """No bug: rounds are cut where there are few files already, as in a lake of many days."""
    made = flush.FlushLimits.__init__

    def small(self: flush.FlushLimits, **given: Any) -> None:
        made(self, **given | {"files_max": 1})

    flush.FlushLimits.__init__ = small  # type: ignore[method-assign]


def numbers_ignored() -> None:
    """A commit that is in the table already is made again, of files of its own."""
    commit = Lake.commit

    def again(self: Lake, app_id: str, pending: OpenCommit) -> Any:
        lake.find_newest_number = lambda _: 0
        changes = {
            group_id: replace(change, added=tuple(_copied(self, app_id, pending, change.added)))
            for group_id, change in pending.changes.items()
        }
        return commit(self, app_id, replace(pending, changes=changes))

    Lake.commit = again  # type: ignore[method-assign]
    LakeRecovery.recover = lambda *_: []  # type: ignore[method-assign]


def _copied(
    own: Lake, app_id: str, pending: OpenCommit, files: Iterable[FileChange]
) -> Iterator[FileChange]:
    for file in files:
        path = Path(f"{own.local}/{app_id}/{pending.kind.value}/{file.path}")
        copy = path.with_name(f"{uuid.uuid4()}-{path.name}")
        shutil.copy(path, copy)
        yield replace(file, path=str(Path(file.path).with_name(copy.name)))


def acknowledged_early() -> None:
    """A batch is acknowledged when it is handed in, and made durable at leisure."""
    accept, commit = GroupCommit.accept, GroupCommit._commit  # noqa: SLF001

    def early(self: GroupCommit, submission: inbox.Submission, *, size: int) -> Future[int]:
        accept(self, submission, size=size)
        done: Future[int] = Future()
        done.set_result(len(submission.keys))
        return done

    def late(self: GroupCommit, group: Any) -> None:
        time.sleep(LEISURE_SECONDS)
        commit(self, group)

    GroupCommit.accept = early  # type: ignore[method-assign]
    GroupCommit._commit = late  # type: ignore[method-assign]  # noqa: SLF001


def waiting_forgotten_at_close() -> None:
    """What was acknowledged early is not made durable once the service closes."""
    next_group, commit = GroupCommit._next_group, GroupCommit._commit  # noqa: SLF001
    acknowledged_early()

    def forgetful(self: GroupCommit) -> Any:
        group = next_group(self)
        return None if self._is_closing else group

    def discontinued(self: GroupCommit, group: Any) -> None:
        time.sleep(LEISURE_SECONDS)
        if not self._is_closing:
            commit(self, group)

    GroupCommit._next_group = forgetful  # type: ignore[method-assign]  # noqa: SLF001
    GroupCommit._commit = discontinued  # type: ignore[method-assign]  # noqa: SLF001


def failures_swallowed() -> None:
    """A transaction that failed is acknowledged like any other."""

    def hopeful(self: GroupCommit, group: Any) -> None:
        with contextlib.suppress(Exception):
            self._inbox.accept([submission for submission, _ in group])
        for submission, answer in group:
            answer.set_result(len(submission.keys))

    GroupCommit._commit = hopeful  # type: ignore[method-assign]  # noqa: SLF001


def keys_forgotten() -> None:
    """What was accepted is not known when it comes again."""
    accept = inbox.InboxQueries.accept

    def other(self: inbox.InboxQueries, submissions: Sequence[inbox.Submission]) -> list[int]:
        unheard = [
            replace(submission, keys=tuple(uuid.uuid4().hex for _ in submission.keys))
            for submission in submissions
        ]
        return accept(self, unheard)

    inbox.InboxQueries.accept = other  # type: ignore[method-assign]


def key_replaced_first() -> None:
    """A new key takes the place of the old one before anything is sealed with it."""
    write_new_key = keyring.write_new_key
    keyring.write_new_key = lambda path: write_new_key(path.with_name(keyring.KEY_FILE))


def seals_anew_one_by_one() -> None:
    """What is sealed is sealed anew in transactions of its own, before the key is named."""
    exchange_keys = installation.InstallationQueries.exchange_keys

    def hasty(self: Any, values: Any, **how: Any) -> None:
        exchange_keys(self, {"none": b""}, **how | {"before_commit": lambda: None})
        how["before_commit"]()
        exchange_keys(self, values, **how)

    installation.InstallationQueries.exchange_keys = hasty  # type: ignore[method-assign]


def clock_believed() -> None:
    """What is old is told by the clock alone."""

    def old_before(self: RunningTime, age: timedelta) -> datetime:
        return self._clock() - age

    RunningTime.old_before = old_before  # type: ignore[method-assign]


def state_not_synced() -> None:
    """The state database leaves its log to the page cache."""
    prepare = state._prepare_sqlite  # noqa: SLF001

    def careless(connection: Any, record: object) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")

    state._prepare_sqlite = careless  # noqa: SLF001


def lake_not_synced() -> None:
    """The files of the lake are left to the page cache, as delta-rs does."""
    durable.sync_path = lambda _: None


def not_a_number_unforeseen() -> None:
    """A body with a number that is none ends in an exception that nobody expects."""
    _before_reading(lambda body: float("no number") if b"NaN" in body else None)


def surrogates_without_end() -> None:
    """A body with half a character is read for longer than anybody waits."""
    _before_reading(lambda body: time.sleep(HANG_SECONDS) if rb"\ud800" in body else None)


def bodies_remembered() -> None:
    """Something of every body stays in memory."""
    _before_reading(lambda body: _REMEMBERED.append(body[:1] * REMEMBERED_BYTES))


def _before_reading(effect: Callable[[bytes], object]) -> None:
    plain_body = collecting.plain_body

    def affected(body: bytes, *given: Any) -> bytes:
        effect(body)
        return plain_body(body, *given)

    collecting.plain_body = affected


def bombs_expanded() -> None:
    """A compressed body is expanded to its end, however much that is."""
    plain_body = collecting.plain_body
    collecting.plain_body = partial(plain_body, bytes_max=2**40, ratio_max=2**40)


def neighbours_refused() -> None:
    """A batch with a log that must be refused loses the others too."""
    decode_batch = collecting.decode_batch

    def strict(*given: Any, **named: Any) -> Any:
        batch = decode_batch(*given, **named)
        return replace(batch, columns={}, accepted=0) if batch.refused else batch

    collecting.decode_batch = strict


HANG_SECONDS = 3_600.0
"""Longer than any test waits for an answer."""
REMEMBERED_BYTES = 256 * 1024
_REMEMBERED: list[bytes] = []
LEISURE_SECONDS = 2.0
"""Longer than a server takes to stop, so that something always waits when it is asked to."""
_ENGINES: list[Any] = []

BUGS: dict[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        names_from_the_clock,
        receipts_ignored,
        a_row_dropped,
        a_row_nulled,
        partial_objects,
        inbox_emptied_first,
        second_half_forgotten,
        rounds_of_few_files,
        numbers_ignored,
        acknowledged_early,
        waiting_forgotten_at_close,
        failures_swallowed,
        keys_forgotten,
        key_replaced_first,
        seals_anew_one_by_one,
        clock_believed,
        state_not_synced,
        lake_not_synced,
        not_a_number_unforeseen,
        surrogates_without_end,
        bodies_remembered,
        bombs_expanded,
        neighbours_refused,
    )
}
