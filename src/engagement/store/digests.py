"""Tells whether a data file still is what was written, by the digest that is in its name.

Parquet's readers take many flipped bits for other values. A digest in the name needs no second
place that could be lost or disagree, and whoever copies the lake takes it along.
"""

import re
import threading
import time
from pathlib import Path, PurePosixPath

import xxhash

_READ_BYTES = 1 << 20
_RECENT_SECONDS = 60.0
"""How long a file that was right is taken for right: its pages are in memory still, and a part of
an export reads a file group by group."""
_NAME = re.compile(r"-xxh3-([0-9a-f]{32})\.zstd\.parquet")


def name_data_file(unique: str, digest: str) -> str:
    """The name of a new data file, which tells its digest."""
    return f"part-{unique}-xxh3-{digest}.zstd.parquet"


def compute_digest(data: bytes | memoryview) -> str:
    """The XXH3 digest of 128 bits of a file's bytes, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)


def read_digest(path: str) -> str | None:
    """The digest that a data file was written with; None for files of releases before digests."""
    found = _NAME.search(PurePosixPath(path).name)
    return found and found.group(1)


class DigestChecks:
    """Reads files again to compare them with their digests, each at most once in a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[Path, tuple[tuple[int, ...], float]] = {}

    def is_intact(self, path: Path) -> bool:
        """Whether a file has the digest in its name; if it has none there, whether it is there."""
        try:
            status = path.stat()
            digest = read_digest(path.name)
            if digest is None:
                return True
            identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._was_intact(path, identity):
                return True
            is_intact = _digest_of_file(path) == digest
        except OSError:
            return False
        if is_intact:
            self._remember(path, identity)
        return is_intact

    def _was_intact(self, path: Path, identity: tuple[int, ...]) -> bool:
        with self._lock:
            known, until = self._recent.get(path, ((), 0.0))
        return known == identity and time.monotonic() < until

    def _remember(self, path: Path, identity: tuple[int, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            oldest = next(iter(self._recent), None)
            while oldest is not None and self._recent[oldest][1] < now:
                del self._recent[oldest]
                oldest = next(iter(self._recent), None)
            self._recent.pop(path, None)  # to its end: they are in the order of their times
            self._recent[path] = (identity, now + _RECENT_SECONDS)


def _digest_of_file(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
