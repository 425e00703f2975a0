"""Makes small disks to be filled, and disks as a power loss leaves them."""

import contextlib
import filecmp
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from support.waiting import wait_for

MIB = 2**20


@contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[Path]:
    """A disk of a size in MiB, in memory; skips where this user may not mount."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def filled(disk: Path, *, leave: int) -> Iterator[None]:
    """A disk on which somebody else has left a few bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        wait_for(lambda: _take(disk, file, leave=leave), "a disk that is full")
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def image_disk(image: Path, *, size: int = 0) -> Iterator[Path]:
    """A disk whose blocks are a file; made anew of a size in MiB unless it is there.

    Skips where this user may not mount.
    """
    if size:
        with image.open("wb") as file:
            file.truncate(size * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    folder = image.with_suffix(".mounted")
    folder.mkdir()
    _mount("-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)
        folder.rmdir()


def copy_image(image: Path, to: Path) -> None:
    """Return only when the copy holds what would be on the disk if the power were cut now.

    What waits in the page cache of the disk's own file system is not in the image. The kernel may
    write during a copy; one that differs from the image behind it was torn, and is made again.
    """

    def copy() -> bool:
        subprocess.run(["cp", "--sparse=always", str(image), str(to)], check=True)
        filecmp.clear_cache()
        return filecmp.cmp(image, to, shallow=False)

    wait_for(copy, "a copy of a disk that nobody wrote to meanwhile")


def integrity(database: Path) -> str:
    """What SQLite says about a database."""
    with sqlite3.connect(database) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(verdict)


def _take(disk: Path, file: IO[bytes], *, leave: int) -> bool:
    """Whether no more than a few bytes are left; others may take some of them meanwhile."""
    if (size := _free(disk) - leave) > 0:
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, size)
            return True
    return size <= 0


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _mount(*words: str) -> None:
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"needs to mount, but: {done.stderr.strip()}")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
