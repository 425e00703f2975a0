"""A commit to a table of the lake, as the state database remembers it."""

from dataclasses import dataclass

from engagement.model.records import Kind


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
