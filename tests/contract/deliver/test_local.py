"""Tests that a local folder is never left, and never holds half an object."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement.deliver.local import LocalDestination
from engagement.exceptions import DestinationError, ErrorCode, Retryable

MIB = 1024 * 1024


def _everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _refused(request: object, code: ErrorCode) -> DestinationError:
    with pytest.raises(DestinationError) as raised:
        request()  # type: ignore[operator]
    assert raised.value.code is code
    assert not isinstance(raised.value, Retryable)
    return raised.value


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "b").write_bytes(b"theirs")
    root.mkdir()
    (root / "a").symlink_to(outside)
    destination = LocalDestination(root)

    _refused(lambda: destination.put("a/b", [b"ours"]), ErrorCode.EGRESS_DENIED)
    _refused(lambda: destination.put("a/c/d", [b"ours"]), ErrorCode.EGRESS_DENIED)
    _refused(lambda: b"".join(destination.get("a/b")), ErrorCode.EGRESS_DENIED)
    _refused(lambda: destination.delete("a/b"), ErrorCode.EGRESS_DENIED)

    assert destination.list_keys("") == []
    assert _everything(outside) == ["b"]
    assert (outside / "b").read_bytes() == b"theirs"


def test_a_container_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    destination = LocalDestination(tmp_path / "link")

    _refused(destination.check, ErrorCode.EGRESS_DENIED)
    _refused(lambda: destination.list_keys(""), ErrorCode.EGRESS_DENIED)

    assert _everything(tmp_path / "outside") == []


def test_a_linked_file_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"theirs")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "outside")
    destination = LocalDestination(root)

    _refused(lambda: b"".join(destination.get("a")), ErrorCode.EGRESS_DENIED)
    listed = destination.list_keys("")
    destination.put("a", [b"ours"])

    assert listed == []
    assert (tmp_path / "outside").read_bytes() == b"theirs"
    assert not (root / "a").is_symlink()
    assert (root / "a").read_bytes() == b"ours"


@pytest.mark.parametrize("key", ["../b", "a/../../b", "/b", "..", "a/../b"])
def test_a_way_out_of_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    root = tmp_path / "root"
    root.mkdir()

    _refused(lambda: LocalDestination(root).put(key, [b"ours"]), ErrorCode.EGRESS_DENIED)

    assert _everything(tmp_path) == ["root"]


def test_a_file_where_a_folder_is_wanted_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"theirs")
    destination = LocalDestination(tmp_path)

    error = _refused(lambda: destination.put("a/b", [b"ours"]), ErrorCode.CONTAINER_NOT_FOUND)

    assert "'a/b'" in str(error)
    assert _everything(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_a_folder_where_a_file_is_wanted_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    _refused(lambda: LocalDestination(tmp_path).put("a", [b"ours"]), ErrorCode.BLOB_IMMUTABLE)

    assert _everything(tmp_path) == ["a"]


def test_a_name_that_is_too_long_is_named(tmp_path: Path) -> None:
    destination = LocalDestination(tmp_path)

    _refused(lambda: destination.put("a" * 300, [b"ours"]), ErrorCode.LIMIT_EXCEEDED)

    assert _everything(tmp_path) == []


class _BrokenError(Exception):
    """Something of the caller's broke."""


def test_a_failure_leaves_no_temporary(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(MIB)
        assert len(_everything(tmp_path)) == 2  # the folder and what is being written
        raise _BrokenError

    with pytest.raises(_BrokenError):
        LocalDestination(tmp_path).put("a/b", chunks())

    assert _everything(tmp_path) == ["a"]


def test_what_is_being_written_is_not_listed(tmp_path: Path) -> None:
    destination = LocalDestination(tmp_path)
    listed: list[list[str]] = []

    def chunks() -> Iterator[bytes]:
        yield b"bytes"
        listed.append(destination.list_keys(""))

    destination.put("a/b", chunks())

    assert listed == [[]]
    assert destination.list_keys("") == ["a/b"]


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("The superuser may write everywhere.")
    tmp_path.chmod(0o500)

    _refused(LocalDestination(tmp_path).check, ErrorCode.SAS_PERMISSION_MISSING)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("A file system of its own may not be mounted here.")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_previous_object_kept(full_disk: Path) -> None:
    destination = LocalDestination(full_disk)
    destination.put("a", [b"previous"])

    _refused(lambda: destination.put("a", [bytes(MIB)] * 2), ErrorCode.INSUFFICIENT_QUOTA)

    assert _everything(full_disk) == ["a"]
    assert (full_disk / "a").read_bytes() == b"previous"


_PUT = """
import sys
from pathlib import Path
from engagement.deliver.local import LocalDestination
LocalDestination(Path(sys.argv[1])).put("a/b", [b"bytes", b"more"])
"""


def test_an_object_is_on_disk_before_and_after_it_gets_its_name(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is needed to see the calls, and is not installed.")
    log = tmp_path / "log"
    calls = "trace=openat,mkdirat,write,fsync,rename,renameat,renameat2"

    subprocess.run(
        [strace, "-f", "-y", "-o", log, "-e", calls, sys.executable, "-c", _PUT, tmp_path],
        check=True,
        capture_output=True,
    )

    folder = re.escape(str(tmp_path))
    temporary = rf"{folder}/a/\.b\.[0-9a-f]{{16}}"
    expected = (
        rf"mkdirat\(\d+<{folder}>, \"a\"",
        rf"fsync\(\d+<{folder}>\)",
        rf"write\(\d+<{temporary}>, \"bytes\"",
        rf"write\(\d+<{temporary}>, \"more\"",
        rf"fsync\(\d+<{temporary}>\)",
        r"renameat2?\(.*, \"b\"",
        rf"fsync\(\d+<{folder}/a>\)",
    )
    seen = log.read_text(encoding="utf-8")
    assert re.search(r"[\s\S]*?".join(expected), seen), seen[-3_000:]
