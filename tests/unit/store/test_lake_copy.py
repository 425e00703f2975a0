"""Tests that the files of a lake that a state needs are found, copied whole, and no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement.exceptions import LakeDamagedError, StateLostError, VerificationError
from engagement.failpoints import Failpoint
from engagement.model.exports import ExportType
from engagement.model.plan import Part, Plan
from engagement.model.records import Kind
from engagement.store.file_trees import FileTree, open_file_tree
from engagement.store.lake import Lake
from engagement.store.lake_copy import (
    MARK,
    LakeMovedOnError,
    NeededFile,
    NeededFiles,
    check_tables,
    copy_files,
    delete_others,
    require_finished_lake,
)
from engagement.store.queries.plans import PlanQueries
from support.batches import everything
from support.home import Home, StoppedError, open_home, stop_at

TABLES = ("event", "job", "tag")


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path / "home") as home:
        home.next_app()
        for number in range(3):
            home.take(everything(number))
        yield home


@pytest.fixture
def target(tmp_path: Path) -> FileTree:
    return open_file_tree(str(tmp_path / "copy"))


def tree_of(home: Home) -> FileTree:
    return open_file_tree(str(home.folder / "lake"))


def list_needed(home: Home) -> list[NeededFile]:
    plans = PlanQueries(home.engine)
    return NeededFiles(home.inbox, home.staging, plans, home.lake).list(tree_of(home))


def copy_lake(home: Home, target: FileTree) -> None:
    copy_files(tree_of(home), target, list_needed(home), on_copied=lambda: None)


def paths_of(files: list[NeededFile], name: str) -> list[str]:
    return [file.path for file in files if name in file.path]


def test_a_table_comes_with_its_log_and_its_live_files(filled: Home, target: FileTree) -> None:
    filled.upkeep().compact(filled.app_id)
    copy_lake(filled, target)

    for name in TABLES:
        kind = Kind(name)
        commit = filled.inbox.last_commits(filled.app_id)[kind]
        live = filled.lake.files(filled.app_id, kind, commit.version)
        copied = [path for path in target.list(f"{filled.app_id}/{name}") if "part-" in path]
        assert sorted(copied) == sorted(f"{filled.app_id}/{name}/{file.path}" for file in live)
    assert check_tables(filled.inbox, filled.staging, Lake(str(filled.folder.parent / "copy")))


def test_what_comes_after_the_state_is_not_needed(filled: Home) -> None:
    before = list_needed(filled)
    filled.on_failpoint = stop_at(Failpoint.COMMIT_IN_LAKE)
    filled.accept(everything(9))
    with pytest.raises(StoppedError):
        filled.flush()

    after = list_needed(filled)

    newer = {file.path for file in after} - {file.path for file in before}
    assert newer == {file.path for file in after if "part-" in file.path} & newer  # staged ones
    assert newer


def test_what_an_export_under_way_reads_is_needed_when_no_table_needs_it(
    filled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: Plan = filled.plan(filled.request(ExportType.EVENT))
    filled.upkeep().compact(filled.app_id)
    parts = [(filled.app_id, part) for part in plan.parts]
    read = {name for part in plan.parts for name in part.files[Kind.EVENT]}
    without = set(paths_of(list_needed(filled), "event/date"))

    def unfinished(_: PlanQueries) -> list[tuple[str, Part]]:
        return parts

    monkeypatch.setattr(PlanQueries, "list_unfinished_parts", unfinished)
    needed = set(paths_of(list_needed(filled), "event/date"))

    assert needed - without == {f"{filled.app_id}/event/{name}" for name in read}


def test_an_altered_file_is_refused_by_name(filled: Home, target: FileTree) -> None:
    path = paths_of(list_needed(filled), "part-")[0]
    data = bytearray(tree_of(filled).read(path))
    data[len(data) // 2] ^= 1
    tree_of(filled).write(path, bytes(data))

    with pytest.raises(LakeDamagedError, match="recorded digest"):
        copy_lake(filled, target)


def test_a_file_that_is_gone_makes_the_state_too_old(filled: Home, target: FileTree) -> None:
    needed = list_needed(filled)
    tree_of(filled).delete(paths_of(needed, "part-")[:1])

    with pytest.raises(LakeMovedOnError):
        copy_files(tree_of(filled), target, needed, on_copied=lambda: None)


def test_a_copy_that_lacks_a_commit_is_found_out(
    filled: Home, target: FileTree, tmp_path: Path
) -> None:
    copy_lake(filled, target)
    newest = max(path for path in target.list() if "/event/_delta_log/" in path)
    target.delete([newest])

    with pytest.raises(VerificationError, match="must be at version 2"):
        check_tables(filled.inbox, filled.staging, Lake(str(tmp_path / "copy")))


def test_what_an_earlier_run_left_goes(filled: Home, target: FileTree) -> None:
    copy_lake(filled, target)
    filled.upkeep().compact(filled.app_id)
    needed = list_needed(filled)
    copied = copy_files(tree_of(filled), target, needed, on_copied=lambda: None)

    delete_others(target, [file.path for file in copied])

    assert sorted(target.list()) == [file.path for file in copied]


def test_a_lake_in_the_making_is_not_opened(target: FileTree, tmp_path: Path) -> None:
    require_finished_lake(str(tmp_path / "copy"))
    target.write(MARK, b"{}")

    with pytest.raises(StateLostError, match="cut off"):
        require_finished_lake(str(tmp_path / "copy"))
