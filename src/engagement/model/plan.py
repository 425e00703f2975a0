"""The plan of an export: what a task reads and writes, frozen before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from engagement.model.records import Kind

RowPlace = tuple[datetime, int] | str
"""Where a row is among those of its device: a record by its time and its sequence, a session or a
job by its id, so that all that is told of it is in one place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file to write: a run of whole days, or a range of rows of one day.

    Such rows are ordered by device, and within one by their place.
    """

    index: int
    """Its place in the plan; also in its object key."""
    first_day: date | None
    """First UTC day; None for snapshots."""
    last_day: date | None
    """Last UTC day, included."""
    device_from: str | None
    """Smallest device id inside, of Info and Location the smallest content id; None means no lower
    bound."""
    device_to: str | None
    """Smallest such id beyond; None means no upper bound."""
    files: Mapping[Kind, tuple[str, ...]]
    """The files to read, by table, in reading order."""
    rows: int | None
    """Rows it will hold; None until they are counted."""
    in_order: bool
    """Whether the files, read one after another, are sorted by device id and time."""
    is_folded: bool
    """Sessions and jobs: whether no two files can hold changes of the same one."""
    place_from: RowPlace | None = None
    """Where in the rows of `device_from` it begins; None means with the first."""
    place_to: RowPlace | None = None
    """Before which of the rows of `device_to` it ends; None means that it has none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHead:
    """What all parts of a plan share; small, however many they are."""

    versions: Mapping[Kind, int]
    """The pinned version of every table that is read."""
    campaign_ids: tuple[int, ...] = ()
    """Push: the campaigns, named or found in the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a task reads and writes, frozen: a repeat reads and writes the very same."""

    head: PlanHead
    """What all parts share."""
    parts: tuple[Part, ...]
    """The files to write."""

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows or 0 for part in self.parts)
