"""Finds files in a table's folder that nothing needs any more."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from deltalake import DeltaTable

ABANDONED_HOURS_MIN = 24
"""Age from which a file that no log names is taken for abandoned, and not for one in the making."""
_DATA_FILE = ".parquet"
_UNFINISHED = re.compile(r"\.parquet#[0-9]+")
"""How a local disk's files are named until they are whole."""


def list_unused_files(table: DeltaTable, *, hours: int, is_full: bool) -> list[str]:
    """The data files that the table does not refer to, and has not for some hours.

    Args:
        table: The newest version.
        hours: How long ago they were taken out of the table, or written.
        is_full: Whether files count that the log does not name: those of rounds that were never
            staged, and those that the log named too long ago. Their age is that of their bytes.
    """
    # Only listed by delta-rs: what it deletes it also commits, and a commit needs a number.
    found = table.vacuum(
        retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=is_full
    )
    return [path for path in found if path.endswith(_DATA_FILE)]


def find_unfinished_files(folder: Path, *, before: datetime) -> Iterator[Path]:
    """The files of a table on a local disk whose writer died, and last wrote before an instant."""
    for below, _, names in os.walk(folder):
        for path in (Path(below, name) for name in names if _UNFINISHED.search(name)):
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before:
                yield path
