"""Tests that damage to the lake's newest files is repaired or refused, never silent."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from engagement.exceptions import LakeDamagedError
from engagement.failpoints import Failpoint, no_failpoint
from engagement.model.exports import ExportType
from engagement.model.records import Kind
from engagement.store.digests import DigestChecks
from support.batches import DEVICES, everything
from support.home import Home, StoppedError, open_home, stop_at

BATCHES = [everything(number, device=DEVICES[number % 2]) for number in range(3)]
MORE = [everything(number, device=DEVICES[number % 3]) for number in range(3, 6)]


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(data[: max(1, int(len(data) * share))])

    return damage


def cut_by_one(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def nulled(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def flipped(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[int(len(data) * share)] ^= 1
        file.write_bytes(data)

    return damage


def missing(file: Path) -> None:
    file.unlink()


COMMIT_DAMAGES = {
    "zero length": emptied,
    "cut at 10 %": cut(0.1),
    "cut at 50 %": cut(0.5),
    "cut at 90 %": cut(0.9),
    "cut by a byte": cut_by_one,
    "NUL-filled": nulled,
    "bit flipped at 20 %": flipped(0.2),
    "bit flipped at 80 %": flipped(0.8),
    "missing": missing,
}
FLIPS = 40
DATA_DAMAGES = {
    "zero length": emptied,
    "cut at 50 %": cut(0.5),
    "cut by a byte": cut_by_one,
    "missing": missing,
}

commit_damage = pytest.mark.parametrize("damage", COMMIT_DAMAGES.values(), ids=list(COMMIT_DAMAGES))
data_damage = pytest.mark.parametrize("damage", DATA_DAMAGES.values(), ids=list(DATA_DAMAGES))


@pytest.fixture(scope="module")
def flushed_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose tables have two recorded commits each."""
    folder = tmp_path_factory.mktemp("flushed") / "home"
    with open_home(folder) as home:
        home.take(*BATCHES)
        home.take(*MORE)
    return folder


@pytest.fixture(scope="module")
def flushed_half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose tables' second commits were made but not recorded."""
    folder = tmp_path_factory.mktemp("half") / "home"
    with open_home(folder) as home:
        home.take(*BATCHES)
        home.accept(*MORE)
        home.on_failpoint = stop_at(Failpoint.COMMIT_IN_LAKE, time=len(Kind))
        with pytest.raises(StoppedError):
            home.flush()
    return folder


@pytest.fixture
def home(flushed_twice: Path, tmp_path: Path) -> Iterator[Home]:
    yield from a_copy(flushed_twice, tmp_path)


@pytest.fixture
def half(flushed_half: Path, tmp_path: Path) -> Iterator[Home]:
    yield from a_copy(flushed_half, tmp_path)


def a_copy(folder: Path, tmp_path: Path) -> Iterator[Home]:
    shutil.copytree(folder, tmp_path / "home")
    with open_home(tmp_path / "home") as home:
        yield home


@pytest.fixture(scope="module")
def undamaged(flushed_twice: Path) -> dict[Kind, list[dict[str, object]]]:
    with open_home(flushed_twice) as home:
        return home.all_rows()


def outcome(home: Home) -> object:
    """All rows of a recovered lake, or which table was refused."""
    try:
        home.recover()
        return home.all_rows()
    except LakeDamagedError as error:
        (named,) = [kind for kind in Kind if str(table(home, kind)) in str(error)]
        return f"refused {table(home, named)}"


def commit_file(home: Home, kind: Kind, version: int) -> Path:
    return table(home, kind) / "_delta_log" / f"{version:020d}.json"


def table(home: Home, kind: Kind) -> Path:
    return home.folder / "lake" / home.app_id / kind.value


def data_file_of(home: Home, kind: Kind, version: int) -> Path:
    """A file that this version has and the one before has not."""
    before = set(DeltaTable(table(home, kind), version=version - 1).file_uris())
    (new,) = set(DeltaTable(table(home, kind), version=version).file_uris()) - before
    return Path(new)


@commit_damage
def test_a_damaged_recorded_commit_is_refused_by_name(
    home: Home, damage: Callable[[Path], None]
) -> None:
    file = commit_file(home, Kind.EVENT, 1)
    damage(file)

    with pytest.raises(LakeDamagedError, match=str(file)):
        home.recover()


@data_damage
def test_a_damaged_recorded_data_file_is_refused_by_name(
    home: Home, damage: Callable[[Path], None]
) -> None:
    file = data_file_of(home, Kind.CRASH, 1)
    damage(file)

    with pytest.raises(LakeDamagedError, match=str(file)):
        home.recover()
    with pytest.raises(LakeDamagedError, match=str(file)):
        home.plan(home.request(ExportType.CRASH))


def test_a_data_file_of_the_right_size_but_nulled_fails_the_export(home: Home) -> None:
    file = data_file_of(home, Kind.CRASH, 1)
    nulled(file)

    with pytest.raises(LakeDamagedError, match=str(file)):
        home.exported(home.request(ExportType.CRASH))


def flips(file: Path) -> Iterator[None]:
    """Flip one bit after another, at places all over a file, and restore it each time."""
    data = file.read_bytes()
    for place in range(0, 8 * len(data), 8 * len(data) // FLIPS + 1):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        yield
    file.write_bytes(data)


def exported_or_refused(home: Home, export_type: ExportType) -> object:
    try:
        return home.exported(home.request(export_type))
    except (LakeDamagedError, pl.exceptions.PolarsError, OSError) as error:
        return f"refused: {error}"


def test_a_flipped_bit_in_a_data_file_is_refused_by_name_wherever_it_is(home: Home) -> None:
    file = data_file_of(home, Kind.EVENT, 1)
    before = home.rows(Kind.EVENT)

    for _ in flips(file):
        with pytest.raises(LakeDamagedError, match=str(file)):
            home.exported(home.request(ExportType.EVENT))
        with pytest.raises(LakeDamagedError, match=str(file)):
            home.upkeep().compact(home.app_id)

    assert home.rows(Kind.EVENT).equals(before)


def test_without_digests_flipped_bits_give_other_rows(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug that the test above is for."""
    monkeypatch.setattr(DigestChecks, "is_intact", lambda *_: True)
    expected = exported_or_refused(home, ExportType.EVENT)

    outcomes = [
        exported_or_refused(home, ExportType.EVENT)
        for _ in flips(data_file_of(home, Kind.EVENT, 1))
    ]

    others = [found for found in outcomes if isinstance(found, list) and found != expected]
    assert others


@commit_damage
def test_a_damaged_unrecorded_commit_is_written_again(
    half: Home,
    undamaged: dict[Kind, list[dict[str, object]]],
    damage: Callable[[Path], None],
) -> None:
    damage(commit_file(half, Kind.EVENT, 1))
    damage(commit_file(half, Kind.TAG, 1))

    half.recover()
    half.flush()

    assert half.all_rows() == undamaged
    assert half.inbox.depth() == 0


@data_damage
def test_a_damaged_staged_data_file_is_refused_by_name(
    half: Home, damage: Callable[[Path], None]
) -> None:
    """It was on disk when its batches left the inbox, so no power loss explains it."""
    file = data_file_of(half, Kind.EVENT, 1)
    damage(file)

    with pytest.raises(LakeDamagedError, match=str(file)):
        half.recover()


@pytest.mark.parametrize("damage", [emptied, nulled, missing, flipped(0.2), cut(0.5)])
def test_the_first_commit_of_a_table_is_written_again(
    tmp_path: Path, undamaged: dict[Kind, list[dict[str, object]]], damage: Callable[[Path], None]
) -> None:
    with open_home(tmp_path / "home") as home:
        home.accept(*BATCHES)
        home.on_failpoint = stop_at(Failpoint.COMMIT_IN_LAKE, time=len(Kind))
        with pytest.raises(StoppedError):
            home.flush()
        home.on_failpoint = no_failpoint
        for kind in Kind:
            damage(commit_file(home, kind, 0))

        home.restart()
        home.recover()
        home.flush()
        home.take(*MORE)

        assert home.all_rows() == undamaged


@pytest.mark.parametrize("damage", [emptied, nulled, missing, cut(0.5)])
def test_a_damaged_older_commit_is_refused(home: Home, damage: Callable[[Path], None]) -> None:
    file = commit_file(home, Kind.EVENT, 0)
    damage(file)

    with pytest.raises(LakeDamagedError, match=str(table(home, Kind.EVENT))):
        home.recover()


@pytest.mark.parametrize("damage", [emptied, cut(0.5), nulled, missing])
@pytest.mark.parametrize("name", ["*.checkpoint.parquet", "_last_checkpoint"])
def test_a_damaged_checkpoint_is_refused_or_does_no_harm(
    home: Home,
    undamaged: dict[Kind, list[dict[str, object]]],
    damage: Callable[[Path], None],
    name: str,
) -> None:
    DeltaTable(table(home, Kind.EVENT)).create_checkpoint()
    (file,) = table(home, Kind.EVENT).joinpath("_delta_log").glob(name)
    damage(file)
    home.restart()

    assert outcome(home) in (undamaged, f"refused {table(home, Kind.EVENT)}")


def test_an_emptied_commit_reads_as_a_version_that_changed_nothing(
    home: Home, undamaged: dict[Kind, list[dict[str, object]]]
) -> None:
    """Why a start recovers first: what counts the rows by itself finds some missing."""
    emptied(commit_file(home, Kind.EVENT, 1))

    home.take(everything(6))

    in_one_batch = 2
    recorded = home.inbox.last_commits(home.app_id)[Kind.EVENT]
    found = sum(file.rows for file in home.lake.files(home.app_id, Kind.EVENT, recorded.version))
    assert recorded.rows_total == len(undamaged[Kind.EVENT]) + in_one_batch
    assert recorded.rows_total - found == in_one_batch * len(MORE)


def test_after_a_silent_loss_the_next_start_refuses_the_table(home: Home) -> None:
    emptied(commit_file(home, Kind.EVENT, 1))

    home.restart()

    with pytest.raises(LakeDamagedError, match="was altered"):
        home.recover()
