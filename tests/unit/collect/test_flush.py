"""Tests that a flush brings each accepted record into the lake exactly once."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.failpoints import Failpoint, no_failpoint
from engagement.model.records import Kind
from engagement.store.folds import fold
from support.batches import DAY, DEVICES, NOW, batch, everything, log
from support.home import Home, StoppedError, open_home, stop_at

ONE_DAY = timedelta(days=1)
TABLES = len(Kind)
STOPS = [
    (Failpoint.FLUSH_DECODED, 1),
    (Failpoint.FLUSH_FILES_WRITTEN, 1),
    (Failpoint.FLUSH_STAGED, 1),
    (Failpoint.COMMIT_FROZEN, 1),
    (Failpoint.COMMIT_IN_LAKE, 1),
    (Failpoint.COMMIT_IN_LAKE, TABLES),
    (Failpoint.COMMIT_RECORDED, 1),
]
BATCHES = [everything(number, device=DEVICES[number % 2]) for number in range(4)]
MORE = [everything(number, device=DEVICES[number % 3]) for number in range(4, 7)]
ROWS_PER_BATCH = {
    Kind.ACTIVITY: 2,
    Kind.EVENT: 2,
    Kind.ERROR: 1,
    Kind.CRASH: 1,
    Kind.JOB: 1,
    Kind.TAG: 2,
    Kind.TOKEN: 1,
    Kind.FEEDBACK: 1,
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path / "home") as home:
        yield home


Tables = dict[Kind, list[dict[str, object]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    with open_home(tmp_path_factory.mktemp("undisturbed")) as home:
        home.take(*BATCHES)
        home.take(*MORE)
        return tables_of(home)


@pytest.fixture(scope="module")
def of_one_round(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What rounds of any number of files give for four days."""
    with open_home(tmp_path_factory.mktemp("one")) as home:
        home.take(*on_many_days(4))
        return tables_of(home)


@pytest.fixture(scope="module")
def of_three_flushes(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What rounds of any number of files give for more, some of it a second time."""
    with open_home(tmp_path_factory.mktemp("three")) as home:
        home.take(*on_many_days(5), *MORE)
        home.take(*on_many_days(5, first=3))
        return tables_of(home)


def tables_of(home: Home) -> Tables:
    """Every row of every table; what a round folds is folded, since rounds may differ."""
    return {kind: fold(kind, home.rows(kind).lazy()).collect().to_dicts() for kind in Kind}


def test_every_accepted_record_is_in_the_lake_once(home: Home) -> None:
    home.take(*BATCHES)

    for kind, rows in ROWS_PER_BATCH.items():
        found = home.rows(kind)
        assert found.height == rows * len(BATCHES)
        assert found["sequence"].n_unique() == found.height
        assert Counter(found["batch_id"]) == {json.loads(item)["batchId"]: rows for item in BATCHES}
    assert home.inbox.depth() == 0


def test_a_second_flush_changes_nothing(home: Home) -> None:
    home.take(*BATCHES)
    before = home.all_rows(), home.inbox.last_commits(home.app_id)

    moved = home.flush()

    assert moved == 0
    assert (home.all_rows(), home.inbox.last_commits(home.app_id)) == before


def test_the_flush_says_how_many_logs_it_moved(home: Home) -> None:
    home.accept(*BATCHES)

    assert home.flush() == sum(len(json.loads(item)["logs"]) for item in BATCHES)


@pytest.mark.parametrize("is_recovered", [True, False], ids=["restarted", "same process"])
@pytest.mark.parametrize(("point", "time"), STOPS)
def test_an_interrupted_flush_leaves_no_trace(
    home: Home,
    undisturbed: Tables,
    point: Failpoint,
    time: int,
    *,
    is_recovered: bool,
) -> None:
    home.accept(*BATCHES)
    home.on_failpoint = stop_at(point, time=time)
    with pytest.raises(StoppedError):
        home.flush()
    home.on_failpoint = no_failpoint

    if is_recovered:
        home.restart()
        home.recover()
    home.flush()
    home.take(*MORE)

    assert tables_of(home) == undisturbed


@pytest.mark.parametrize(("point", "time"), STOPS[1:7])
def test_an_interrupted_second_flush_leaves_no_trace(
    home: Home, undisturbed: Tables, point: Failpoint, time: int
) -> None:
    home.take(*BATCHES)
    home.accept(*MORE)
    home.on_failpoint = stop_at(point, time=time)
    with pytest.raises(StoppedError):
        home.flush()
    home.on_failpoint = no_failpoint

    home.restart()
    home.recover()
    home.flush()

    assert tables_of(home) == undisturbed


@pytest.mark.parametrize(("point", "time"), STOPS[:6:2])
def test_batches_that_come_after_an_interrupted_flush_do_not_repeat_it(
    home: Home, undisturbed: Tables, point: Failpoint, time: int
) -> None:
    """The next round would be longer than the one that some of the tables hold already."""
    home.accept(*BATCHES)
    home.on_failpoint = stop_at(point, time=time)
    with pytest.raises(StoppedError):
        home.flush()
    home.on_failpoint = no_failpoint

    home.accept(*MORE)
    home.flush()

    assert tables_of(home) == undisturbed


def test_rounds_of_few_logs_give_the_same_history_as_one_round(tmp_path: Path) -> None:
    with open_home(tmp_path / "one") as single, open_home(tmp_path / "many", records_max=9) as many:
        single.take(*BATCHES, *MORE)
        many.take(*BATCHES, *MORE)

        version = many.inbox.last_commits(many.app_id)[Kind.EVENT].version
        assert len(many.lake.files(many.app_id, Kind.EVENT, version)) > 1
        for kind in ROWS_PER_BATCH:
            assert many.rows(kind).equals(single.rows(kind))


def on_many_days(count: int, *, first: int = 0) -> list[bytes]:
    """Batches with an activity, an event and a job each, on days of their own."""
    return [
        everything(number, day=DAY - timedelta(days=number), device=DEVICES[number % 2])
        for number in range(first, first + count)
    ]


FILES_OF_A_DAY = 6
"""Of a batch of `on_many_days`, in the tables that have days."""
SNAPSHOTS = len(Kind) - FILES_OF_A_DAY


def test_a_round_writes_no_more_files_than_it_may(tmp_path: Path) -> None:
    """One sender decides how many days there are, and each is a file of each table."""
    files_max = SNAPSHOTS + 2 * FILES_OF_A_DAY
    with open_home(tmp_path / "home", files_max=files_max) as home:
        staged: list[int] = []

        def look(point: Failpoint) -> None:
            if point is Failpoint.FLUSH_STAGED:
                waiting = [home.staging.list_staged(home.app_id, kind) for kind in Kind]
                staged.append(sum(map(len, waiting)))

        home.on_failpoint = look
        home.take(*on_many_days(7))

        assert len(staged) > 7 // 2
        # What is staged is committed once it is as much as a round may be.
        assert all(files <= 2 * files_max for files in staged)
        for kind, rows in ROWS_PER_BATCH.items():
            assert home.rows(kind).height == 7 * rows


def test_a_batch_of_more_files_than_a_round_may_write_is_a_round(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", files_max=1) as home:
        home.take(*on_many_days(2), batch(*(log("event", day=DAY - ONE_DAY * n) for n in range(5))))

        assert home.rows(Kind.EVENT).height == 2 * ROWS_PER_BATCH[Kind.EVENT] + 5


@pytest.mark.parametrize("files_max", [1, SNAPSHOTS + FILES_OF_A_DAY, 2 * len(Kind)])
def test_rounds_of_few_files_give_what_one_round_gives(
    tmp_path: Path, of_three_flushes: Tables, files_max: int
) -> None:
    with open_home(tmp_path / "many", files_max=files_max) as many:
        many.take(*on_many_days(5), *MORE)
        many.take(*on_many_days(5, first=3))

        assert tables_of(many) == of_three_flushes


@pytest.mark.parametrize("point", [point for point, _ in STOPS[:5]])
@pytest.mark.parametrize("time", [1, 3])
def test_a_flush_that_is_interrupted_between_its_rounds_leaves_no_trace(
    tmp_path: Path, of_one_round: Tables, point: Failpoint, time: int
) -> None:
    with open_home(tmp_path / "many", files_max=SNAPSHOTS + FILES_OF_A_DAY) as many:
        many.accept(*on_many_days(4))
        many.on_failpoint = stop_at(point, time=time)
        with pytest.raises(StoppedError):
            many.flush()
        many.on_failpoint = no_failpoint

        many.restart()
        many.recover()
        many.flush()

        assert tables_of(many) == of_one_round


@settings(max_examples=15)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_a_batch_id_counts_once(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], at_once: int
) -> None:
    bodies = [batch(log("event", 1), batch_id=f"id {item}") for item in ids]
    with open_home(tmp_path_factory.mktemp("once")) as home:
        answers: list[bool] = []
        for start in range(0, len(bodies), at_once):
            answers += home.accept(*bodies[start : start + at_once])
        home.flush()
        answers_later = home.accept(*bodies)
        home.flush()

        assert answers == [item not in ids[:index] for index, item in enumerate(ids)]
        assert answers_later == [False] * len(bodies)
        assert sorted(home.rows(Kind.EVENT)["batch_id"]) == sorted({f"id {item}" for item in ids})


def test_the_same_batch_id_of_another_app_is_another_batch(home: Home) -> None:
    body = batch(log("event", 1), batch_id="same")
    home.take(body)
    first = home.app_id
    home.next_app()
    home.take(body)

    assert home.app_id != first
    assert home.rows(Kind.EVENT).height == 1


def test_a_batch_without_accepted_logs_leaves_the_inbox(home: Home) -> None:
    empty = decode_batch(batch(log("event", 1, name="")), received_at=NOW, live=False)
    assert empty.accepted == 0
    assert accept(home.inbox, home.app_id, [empty], received_at=NOW) == [True]
    home.accept(batch(log("event", 1)))

    assert home.flush() == 1
    assert home.inbox.list_waiting() == []
    assert home.rows(Kind.EVENT).height == 1
