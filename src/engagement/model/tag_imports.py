"""Imports of tags from blobs, and parses how a list of them is sorted."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engagement.exceptions import ErrorCode


class ImportState(StrEnum):
    """Where a task stands, with the names of the published contract; the last two are final."""

    QUEUED = "Queued"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        """Whether it stays so."""
        return self in {ImportState.SUCCEEDED, ImportState.FAILED}


class ImportProperty(StrEnum):
    """What a list of import tasks may be sorted by, with the names of the published contract."""

    ID = "jobId"
    STATE = "jobStatus"
    ERROR_DETAILS = "errorDetails"
    CREATED = "dateCreated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTask:
    """An import that was asked for and what became of it."""

    task_id: str
    """32 hexadecimal digits."""
    app_id: str
    """The app whose devices are tagged."""
    state: ImportState
    """Where it stands."""
    storage: str
    """The blob, without the credential."""
    created_at: datetime
    """When it was accepted; its tags count from then."""
    started_at: datetime | None
    """When it was begun."""
    completed_at: datetime | None
    """When its state became final."""
    error_code: ErrorCode | None
    """Why it failed."""
    error_details: str | None
    """Why it failed, or which devices it left out, in words, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOrder:
    """How a list of import tasks is sorted."""

    by: ImportProperty = ImportProperty.ID
    """The property; equals are in the order of their ids."""
    descending: bool = False
    """Whether the largest comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPage:
    """Some import tasks of a list."""

    tasks: tuple[ImportTask, ...]
    """The tasks."""
    has_more: bool
    """Whether more come behind them."""
