"""What changes a table of the lake, from being staged to being committed and recorded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from engagement.model.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A data file that is added to a table, or removed from it."""

    path: str
    """Relative to the table."""
    bytes: int
    """Its size."""
    rows: int
    """Rows inside."""
    day: date | None
    """The partition; None for snapshot kinds."""
    statistics: str = ""
    """What the table's log says of an added file, as Delta's JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """Files that come into a table and go from it together, or not at all."""

    added: tuple[FileChange, ...] = ()
    """Written and on disk, but of no table yet."""
    removed: tuple[FileChange, ...] = ()
    """Those that the added ones stand for. If one is in the table no more, nothing changes."""

    @property
    def rows(self) -> int:
        """How many rows the table gains; below 0 if it loses some."""
        return sum(file.rows for file in self.added) - sum(file.rows for file in self.removed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A Delta commit that is on disk for good."""

    kind: Kind
    """The table's kind of record."""
    version: int
    """The table's version after it."""
    rows_total: int
    """Rows of the whole table at that version."""
    sha256: str
    """Of the commit's file in the Delta log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCommit:
    """The one commit to a table that is under way; what belongs to it does not change any more."""

    kind: Kind
    """The table's kind of record."""
    commit_id: int
    """Counts the table's commits. Delta's log keeps it, which tells whether it is there already."""
    recorded_version: int | None
    """The table's version before it; None if there is no table yet."""
    recorded_rows: int
    """Rows of the table at that version."""
    changes: Mapping[str, TableChange] = field(default_factory=dict)
    """What was staged, by the id of its group."""


def sum_changes(changes: Iterable[TableChange]) -> TableChange:
    """Changes as one."""
    added: list[FileChange] = []
    removed: list[FileChange] = []
    for change in changes:
        added += change.added
        removed += change.removed
    return TableChange(added=tuple(added), removed=tuple(removed))
