"""Accepts the same batches in several processes at once, and plants what would break it."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from engagement.store.queries import inbox
from engagement.store.queries.inbox import AcceptedContent, InboxQueries, InboxRow, Submission
from engagement.store.queries.json_arrays import json_elements
from engagement.store.state import hold_state
from engagement.store.tables import accepted
from support.batches import NOW
from support.home import APP_ID
from support.waiting import WAIT_SECONDS_MAX

Remember = Callable[[sa.Connection, set[str], int], set[str]]
FAILED = -1
"""What a process was told of a batch whose transaction failed."""
_REMEMBER: Remember = inbox._remember_keys  # noqa: SLF001
_GATES: list[Barrier] = []
"""The one at which a process waits for the others."""


def found_then_added(connection: sa.Connection, keys: set[str], day: int) -> set[str]:
    """Known keys are looked for, and the others added, as if nobody came in between."""
    return _look_and_add(connection, keys, day, accepted.insert())


def added_without_looking_back(connection: sa.Connection, keys: set[str], day: int) -> set[str]:
    """Likewise, and a key that somebody else has added meanwhile counts as new."""
    return _look_and_add(
        connection, keys, day, postgresql.insert(accepted).on_conflict_do_nothing()
    )


def _look_and_add(
    connection: sa.Connection, keys: set[str], day: int, insert: sa.Insert
) -> set[str]:
    given = json.dumps(sorted(keys))
    key = json_elements("keys")["postgresql"]
    find = sa.select(accepted.c.key).where(accepted.c.key.in_(sa.select(key)))
    new = keys - set(connection.scalars(find, {"keys": given}))
    if new:
        connection.execute(insert, [{"key": each, "day": day} for each in sorted(new)])
    return new


BUGS: dict[str, Remember] = {
    bug.__name__: bug for bug in (found_then_added, added_without_looking_back)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What every process hands in at once."""

    state_url: str
    """Where it is kept."""
    groups: Sequence[Sequence[str]]
    """The ids of batches, by transaction."""
    plant: str | None
    """The bug that every process has."""


class Acceptors:
    """Processes that accept the same at once; they serve for several rounds."""

    def __init__(self, processes: int) -> None:
        context = get_context("spawn")
        gate = context.Barrier(processes)
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes, mp_context=context, initializer=_keep_gate, initargs=(gate,)
        )

    def accept(self, given: Round) -> list[list[int]]:
        """What each process was told of each batch: 1 if it was new, or that it failed."""
        return list(self._pool.map(_accept, [given] * self._processes))

    def stop(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def _keep_gate(gate: Barrier) -> None:
    _GATES.append(gate)


def _accept(given: Round) -> list[int]:
    inbox._remember_keys = _REMEMBER if given.plant is None else BUGS[given.plant]  # noqa: SLF001
    with hold_state(given.state_url) as engine:
        queries = InboxQueries(engine)
        answers: list[int] = []
        for group in given.groups:
            _GATES[0].wait(WAIT_SECONDS_MAX)  # else the first would end before the last begins
            try:
                answers += queries.accept([_submission(name) for name in group])
            except sa.exc.IntegrityError:
                answers += [FAILED] * len(group)
        return answers


def _submission(name: str) -> Submission:
    row = InboxRow(app_id=APP_ID, batch_id=name, received_at=NOW, records=1, payload=b"")
    content = AcceptedContent(rows=[row])
    return Submission(app_id=APP_ID, received_at=NOW, keys=(name,), content=lambda _: content)


def kept_batches(given: Round) -> list[str]:
    """The ids of the round's batches that wait in the inbox."""
    names = {name for group in given.groups for name in group}
    with hold_state(given.state_url) as engine:
        rows = InboxQueries(engine).oldest(APP_ID, records_max=2**31, position_max=2**31)
        return [row.batch_id for row in rows if row.batch_id in names]
