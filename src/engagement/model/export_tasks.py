"""An export task: what was asked, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engagement.exceptions import (
    CancelledError,
    EngagementError,
    ErrorCode,
    InvalidExportError,
    error_of_code,
)
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    Progress,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTask:
    """An export that was asked for and what became of it."""

    task_id: str
    """32 hexadecimal digits; also the id of the workflow and a part of every object key."""
    request: ExportRequest
    """What was asked, without the container URL, which is a secret."""
    state: ExportState
    """Where it stands."""
    container: str
    """Where it delivers, without the credential."""
    folder: str
    """Object key prefix of the parts and the manifest."""
    created_at: datetime
    """When it was accepted."""
    started_at: datetime | None
    """When a worker took it."""
    completed_at: datetime | None
    """When its state became final."""
    error_code: ErrorCode | None
    """Why it failed."""
    error_details: str | None
    """The reason in words, without secrets."""
    progress: Progress
    """How far it is."""
    attempt: int
    """1 at first, one more with each retry."""

    def __post_init__(self) -> None:
        if self.request.container_url:
            raise InvalidExportError("A task is shown, so it must not hold its container URL.")

    @property
    def app_id(self) -> str:
        """The app whose records are exported."""
        return self.request.app_id

    @property
    def export_type(self) -> ExportType:
        """What it delivers."""
        return self.request.export_type

    @property
    def export_format(self) -> ExportFormat:
        """How rows are written."""
        return self.request.export_format

    @property
    def compression(self) -> Compression:
        """How parts are compressed."""
        return self.request.compression

    @property
    def description(self) -> str:
        """The client's own words."""
        return self.request.description

    @property
    def error(self) -> EngagementError | None:
        """Why it failed or was cancelled, in the class of its code; None if it did not."""
        if self.state is ExportState.CANCELLED:
            return CancelledError(self.error_details or f"The task {self.task_id} was cancelled.")
        if self.state is not ExportState.FAILED:
            return None
        reason = self.error_details or f"The task {self.task_id} failed."
        return error_of_code(self.error_code or ErrorCode.INTERNAL, reason)


class TaskOrder(StrEnum):
    """What a list of tasks may be sorted by, with the names of the published contract."""

    ID = "taskId"
    ERROR_DETAILS = "errorDetails"
    CREATED = "dateCreated"
    STATE = "taskStatus"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """Which tasks of a list to show."""

    skip: int = 0
    """How many to leave out."""
    top: int = 20
    """How many to show at most."""
    order_by: TaskOrder = TaskOrder.ID
    """What they are sorted by."""
    descending: bool = False
    """Whether the largest comes first."""
    published_contract: bool = False
    """Only tasks that the contract of 2014 can show."""
