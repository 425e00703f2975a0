"""Lets system calls fail under load: nothing is acknowledged that is not kept."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from checker import ACKNOWLEDGED, COME_AGAIN, Verdict
from collector import Collector, new_collector, note, wait_until
from disks import integrity
from endings import wait_until_fewer_wait
from tracing import Fault, Trace, failing

ERRORS = ("EIO", "ENOSPC")
FRONT = {"pwrite64": 200, "fdatasync": 200, "fdatasync,openat": 50}
"""What the process that answers does to the state database; which call is the last to be tried."""
WORKER = {"fsync": 80, "fdatasync": 3, "pwrite64": 80, "rename": 3, "linkat": 3, "openat": 150}
"""What the worker does, to the lake besides. Its `write` is left alone: it wakes threads too."""
DATABASE_FILES = ("state.db", "state.db-wal", "state.db-shm", "state.db-journal")
ANSWERS_MIN = 20
"""More than there are connections, so that some were asked for since."""

pytestmark = pytest.mark.slow


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a server came to some of whose calls failed."""

    acknowledged: int = 0
    """Batches that were acknowledged while no sync could succeed."""
    slowest_seconds: float = 0
    """The longest until it was as before, once all calls succeeded again."""
    verdict: Verdict
    """What was lost, once all was well again."""
    sound: list[str]
    """What SQLite says about the databases."""


def test_a_server_whose_calls_fail_acknowledges_nothing_that_it_did_not_keep(
    tmp_path: Path, kills: int, seed: int
) -> None:
    faults = planned(FRONT, kills, seed)

    outcome = fail_front(new_collector(tmp_path, seed=seed), faults)

    note(f"{len(faults)} faults, again after {outcome.slowest_seconds:.1f} s, {outcome.verdict}")
    check(outcome)
    assert outcome.verdict.statuses[503] > 0


def test_a_worker_whose_calls_fail_loses_nothing_and_goes_on(
    tmp_path: Path, kills: int, seed: int
) -> None:
    faults = planned(WORKER, kills, seed)

    outcome = fail_worker(new_collector(tmp_path, seed=seed), faults)

    note(f"{len(faults)} faults, again after {outcome.slowest_seconds:.1f} s, {outcome.verdict}")
    check(outcome)


def test_failures_that_are_swallowed_are_found(tmp_path: Path, seed: int) -> None:
    fault = Fault(calls="fdatasync", error="EIO", first=1, is_lasting=True)

    outcome = fail_front(new_collector(tmp_path, seed=seed), [fault], plant="failures_swallowed")

    assert outcome.acknowledged > 0
    assert "lost" in outcome.verdict.damage


def test_an_inbox_that_is_emptied_before_the_lake_has_it_is_found(
    tmp_path: Path, seed: int
) -> None:
    fault = Fault(calls="rename", error="ENOSPC", first=1, is_lasting=True)

    outcome = fail_worker(new_collector(tmp_path, seed=seed), [fault], plant="inbox_emptied_first")

    assert "lost" in outcome.verdict.damage


def check(outcome: Outcome) -> None:
    """Return only if every promise was kept."""
    assert outcome.verdict.damage == {}
    assert outcome.acknowledged == 0
    assert outcome.verdict.statuses.keys() <= {200, 202, 503, 507}
    assert outcome.verdict.hasty == 0
    assert outcome.sound == ["ok", "ok"]


def planned(calls: dict[str, int], kills: int, seed: int) -> list[Fault]:
    """Some faults of every kind, in any order."""
    dice = random.Random(seed)  # noqa: S311 - a plan to be repeated, not a secret
    faults = [
        Fault(
            calls=call,
            error=dice.choice(ERRORS),
            first=dice.randint(1, last),
            is_lasting=dice.random() < 0.5,
        )
        for call, last in calls.items()
        for _ in range(max(1, kills // 10))
    ]
    dice.shuffle(faults)
    return faults


def fail_front(collector: Collector, faults: list[Fault], *, plant: str | None = None) -> Outcome:
    """Let calls of the process that answers fail, one fault after the other."""
    only = [collector.home / name for name in DATABASE_FILES]
    slowest, acknowledged = 0.0, 0
    with collector.load() as load, collector.serving(plant=plant) as server:
        await_acknowledgement(collector, time.monotonic())
        for fault in faults:
            log = collector.home.parent / "trace"
            with failing(server.process.pid, fault, log=log, only=only) as trace:
                await_failure(trace, fault)
                if fault.is_lasting:
                    acknowledged += acknowledged_meanwhile(collector)
            slowest = max(slowest, await_acknowledgement(collector, time.monotonic()))
        load.settle()
        verdict = collector.verdict(server)
    return Outcome(
        acknowledged=acknowledged,
        slowest_seconds=slowest,
        verdict=verdict,
        sound=[integrity(path) for path in sorted(collector.home.glob("*.db"))],
    )


def fail_worker(collector: Collector, faults: list[Fault], *, plant: str | None = None) -> Outcome:
    """Let calls of the worker fail, one fault after the other."""
    slowest = 0.0
    with collector.load() as load, collector.serving(plant=plant) as server:
        for fault in faults:
            wait_until(lambda: server.worker_pid is not None, "a worker")
            wait_until_fewer_wait(server)
            with failing(
                server.worker_pid or 0, fault, log=collector.home.parent / "trace"
            ) as trace:
                await_failure(trace, fault)
            slowest = max(slowest, wait_until_fewer_wait(server))
        load.settle()
        verdict = collector.verdict(server)
    return Outcome(
        slowest_seconds=slowest,
        verdict=verdict,
        sound=[integrity(path) for path in sorted(collector.home.glob("*.db"))],
    )


def await_failure(trace: Trace, fault: Fault) -> None:
    """Return only when a call has failed."""
    wait_until(trace.failed, f"a call that fails: {fault}")


def acknowledged_meanwhile(collector: Collector) -> int:
    """How many of the next answers acknowledge something; those under way are passed by."""
    since = await_answers(collector, time.monotonic())
    until = await_answers(collector, since)
    statuses = collector.statuses(since=since, until=until)
    assert sum(statuses[item] for item in COME_AGAIN | ACKNOWLEDGED) >= ANSWERS_MIN
    return sum(statuses[item] for item in ACKNOWLEDGED)


def await_answers(collector: Collector, since: float) -> float:
    """Return only when some batches were answered; the instant."""
    wait_until(lambda: collector.statuses(since=since).total() >= ANSWERS_MIN, "answers")
    return time.monotonic()


def await_acknowledgement(collector: Collector, since: float) -> float:
    """Return only when a batch was acknowledged; after how many seconds."""
    return wait_until(lambda: collector.acknowledged(since=since), "an acknowledged batch")
