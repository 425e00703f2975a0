"""Tests that a data file is told apart from any other bytes by the digest in its name."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.store.digests import DigestChecks, compute_digest, name_data_file, read_digest


def written(folder: Path, data: bytes) -> Path:
    path = folder / name_data_file("0" * 32, compute_digest(data))
    path.write_bytes(data)
    return path


@given(data=st.binary(min_size=1, max_size=3_000_000), place=st.floats(0, 1, exclude_max=True))
def test_every_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: float
) -> None:
    path = written(tmp_path_factory.mktemp("file"), data)
    assert DigestChecks().is_intact(path)

    bit = int(place * 8 * len(data))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)

    assert not DigestChecks().is_intact(path)


def test_a_file_that_was_intact_and_is_changed_is_read_again(tmp_path: Path) -> None:
    checks = DigestChecks()
    path = written(tmp_path, b"what was written")
    assert checks.is_intact(path)
    times = path.stat()

    path.write_bytes(b"What was written")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert not checks.is_intact(path)


def test_a_missing_file_is_not_intact(tmp_path: Path) -> None:
    assert not DigestChecks().is_intact(tmp_path / name_data_file("0" * 32, compute_digest(b"")))


def test_a_file_of_a_release_before_digests_is_only_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "part-00000-5f1c8f43-1d62-4b63-a8a4-3d8c1a9f0c11-c000.zstd.parquet"
    assert read_digest(str(path)) is None
    assert not DigestChecks().is_intact(path)

    path.write_bytes(b"anything")

    assert DigestChecks().is_intact(path)
