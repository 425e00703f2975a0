"""This module answers the export operations of version 2026-11-01."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.api.context import (
    AppToExport,
    AppToRead,
    Context,
    DirectRoute,
    InContext,
    readable_app,
    resource_address,
)
from engagement.api.paging import next_page, task_page
from engagement.api.published_exports import HISTORIES, SNAPSHOTS, TASKS_PATH, task_of
from engagement.api.schemas import (
    DESCRIPTION_CHARACTERS_MAX,
    FAILURES,
    Answer,
    Instant,
    Question,
    UtcInstant,
    answered,
)
from engagement.exceptions import InvalidExportError
from engagement.model.apps import App
from engagement.model.export_request import EVENT_NAMES_MAX, ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportTask,
    ExportType,
    TaskPage,
    TimeAxis,
    TimeRange,
)

VERSION = "2026-11-01"
POLL_SECONDS = 1
COLUMNS_MAX = 200
CAMPAIGNS_MAX = 10_000

router = APIRouter(tags=["ExportTasks"])
TaskId = Annotated[str, Path(alias="id", description="Export task identifier.")]


class ExportOptions(Question):
    """Options of what is written."""

    export_user_id: bool = Field(default=False, description="Adds userId where it is known.")
    csv_formula_guard: bool = Field(
        default=False, description="CsvBlob: defuses values that a spreadsheet would run."
    )


class Asked(Question):
    """What every request for an export has."""

    container_url: str = Field(
        default="",
        description="Container with a SAS that may write; a secret, never shown again. "
        "Only a dry run goes without.",
    )
    columns: list[str] = Field(
        default_factory=list,
        max_length=COLUMNS_MAX,
        description="Names of fields, for formats other than JsonBlob; all if empty.",
    )
    export_format: ExportFormat = ExportFormat.JSON
    compression: Compression = Compression.NONE
    description: str = Field(default="", max_length=DESCRIPTION_CHARACTERS_MAX)
    export_options: ExportOptions = ExportOptions()

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """What is asked, in our own words."""
        return ExportRequest(
            app_id=app.app_id,
            export_type=kind,
            export_format=self.export_format,
            compression=self.compression,
            container_url=self.container_url,
            description=self.description,
            columns=tuple(self.columns),
            include_user_id=self.export_options.export_user_id,
            csv_formula_guard=self.export_options.csv_formula_guard,
            **self.selection(),
        )

    def selection(self) -> dict[str, Any]:
        """What only this type of export has."""
        return {}


class AskedHistory(Asked):
    """Records of a range: date-times, half-open, or whole UTC days, both included."""

    time_axis: TimeAxis = Field(
        default=TimeAxis.EVENT,
        description="Whether the range is of when things happened or of when we received them.",
    )
    event_names: list[str] = Field(
        default_factory=list,
        max_length=EVENT_NAMES_MAX,
        description="Only records with one of these names, for kinds that have names.",
    )
    start_time: UtcInstant | None = Field(default=None, description="First instant inside.")
    end_time: UtcInstant | None = Field(default=None, description="First instant outside.")
    start_date: date | None = Field(default=None, description="First UTC day inside.")
    end_date: date | None = Field(default=None, description="Last UTC day inside.")

    def selection(self) -> dict[str, Any]:
        """The range, from whichever pair was given, and what narrows it."""
        return {
            "time_range": self._range(),
            "time_axis": self.time_axis,
            "event_names": tuple(self.event_names),
        }

    def _range(self) -> TimeRange:
        has_days = self.start_date is not None or self.end_date is not None
        has_times = self.start_time is not None or self.end_time is not None
        if self.start_date and self.end_date and not has_times:
            return TimeRange.of_days(self.start_date, self.end_date)
        if self.start_time and self.end_time and not has_days:
            return TimeRange(start=self.start_time, end=self.end_time)
        raise InvalidExportError(
            "A history needs startTime and endTime, or startDate and endDate, and one pair only."
        )


class AskedSnapshot(Asked):
    """The latest state, or the state as of an instant."""

    as_of: UtcInstant | None = Field(default=None, description="The state as it was known then.")

    def selection(self) -> dict[str, Any]:
        """The instant."""
        return {"as_of": self.as_of}


class AskedWindow(Asked):
    """The feedback of the campaigns of a window, half-open."""

    campaign_type: CampaignType
    campaign_window_start: UtcInstant
    campaign_window_end: UtcInstant

    def selection(self) -> dict[str, Any]:
        """The window and the type of campaigns."""
        window = TimeRange(start=self.campaign_window_start, end=self.campaign_window_end)
        return {"time_range": window, "campaign_type": self.campaign_type}


class AskedCampaigns(Asked):
    """The feedback of campaigns by their ids."""

    campaign_type: CampaignType
    campaign_ids: list[int] = Field(min_length=1, max_length=CAMPAIGNS_MAX)

    def selection(self) -> dict[str, Any]:
        """The campaigns."""
        return {"campaign_ids": tuple(self.campaign_ids), "campaign_type": self.campaign_type}


class AskedAgain(Question):
    """What a retry needs: the old SAS was erased when the task ended."""

    container_url: str = Field(description="The same container, with a SAS that may write.")


class EstimateAnswer(Answer):
    """What an export would amount to."""

    rows: int = Field(description="Rows, or an upper bound of them.")
    parts: int = Field(description="Parts at most.")
    bytes: int | None = Field(
        default=None, description="Size, if exports like it were made before."
    )


class ProgressAnswer(Answer):
    """How far a task is."""

    parts_total: int
    parts_done: int
    rows_total: int
    rows_done: int
    bytes_done: int
    rows_per_second: float | None = None
    seconds_left: float | None = None


class Task(Answer):
    """An export task."""

    id: str
    state: ExportState
    export_type: ExportType
    export_format: ExportFormat
    compression: Compression
    description: str
    container: str
    folder: str
    attempt: int
    date_created: Instant
    date_started: Instant | None = None
    date_completed: Instant | None = None
    error_code: str | None = None
    error_details: str | None = None
    progress: ProgressAnswer
    manifest: str | None = None


class Tasks(Answer):
    """A page of tasks."""

    value: list[Task]
    next_link: str | None = None


def shown(task: ExportTask) -> Task:
    """A task with everything that may be shown of it."""
    has_manifest = task.state is ExportState.SUCCEEDED
    return Task(
        id=task.task_id,
        state=task.state,
        export_type=task.export_type,
        export_format=task.export_format,
        compression=task.compression,
        description=task.description,
        container=task.container,
        folder=task.folder,
        attempt=task.attempt,
        date_created=task.created_at,
        date_started=task.started_at,
        date_completed=task.completed_at,
        error_code=task.error_code,
        error_details=task.error_details,
        progress=ProgressAnswer.model_validate(task.progress, from_attributes=True),
        manifest=f"{task.folder}/manifest.json" if has_manifest else None,
    )


@router.get(TASKS_PATH, operation_id="ExportTasks_List", response_model=Tasks, responses=FAILURES)
def list_tasks(
    context: InContext, app: AppToRead, page: Annotated[TaskPage, Depends(task_page)]
) -> Response:
    """A page of the app's export tasks."""
    found = operations.list_exports_page(context.runtime, app.app_id, page)
    link = None
    if len(found) > page.top:
        query = {"api-version": VERSION, **next_page(page)}
        link = resource_address(context, app, "devices/exportTasks", query)
    return answered(Tasks(value=[shown(one) for one in found[: page.top]], next_link=link))


async def get_task(request: Request) -> Response:
    """An export task, with its progress."""
    app = await readable_app(request)
    return answered(shown(task_of(request.app.state.context, app, request.path_params["id"])))


router.add_api_route(
    f"{TASKS_PATH}/{{id}}",
    get_task,
    operation_id="ExportTasks_Get",
    response_model=Task,
    responses=FAILURES,
    route_class_override=DirectRoute,
)


@router.get(
    f"{TASKS_PATH}/{{id}}/manifest",
    operation_id="ExportTasks_GetManifest",
    responses=FAILURES,
    response_model=dict[str, Any],
)
def get_manifest(context: InContext, app: AppToRead, task_id: TaskId) -> Response:
    """The manifest of a task that succeeded, as it lies in the container."""
    task = task_of(context, app, task_id)
    return Response(
        operations.export_manifest(context.runtime, task.task_id), media_type="application/json"
    )


@router.post(
    f"{TASKS_PATH}/{{id}}/cancel",
    operation_id="ExportTasks_Cancel",
    response_model=Task,
    responses=FAILURES,
)
def cancel_task(context: InContext, app: AppToExport, task_id: TaskId) -> Response:
    """Cancel a task: at once if it waits, else soon."""
    task = task_of(context, app, task_id)
    return answered(shown(operations.cancel_export(context.runtime, task.task_id)))


@router.post(
    f"{TASKS_PATH}/{{id}}/retry",
    operation_id="ExportTasks_Retry",
    response_model=Task,
    responses=FAILURES,
    status_code=202,
)
def retry_task(context: InContext, app: AppToExport, task_id: TaskId, body: AskedAgain) -> Response:
    """Run a failed or cancelled task again; parts that were delivered stay delivered."""
    task = task_of(context, app, task_id)
    again = operations.retry_export(context.runtime, task.task_id, container_url=body.container_url)
    return _accepted(context, app, again)


def _accepted(context: Context, app: App, task: ExportTask) -> Response:
    rest = f"devices/exportTasks/{task.task_id}"
    place = resource_address(context, app, rest, {"api-version": VERSION})
    headers = {"Location": place, "Retry-After": str(POLL_SECONDS)}
    return answered(shown(task), 202, headers)


def _create(kind: ExportType, model: type[Asked]) -> Callable[..., Response]:
    def create(
        context: InContext,
        app: AppToExport,
        body: model,  # type: ignore[valid-type]
        idempotency_key: IdempotencyKey = None,
        dry_run: DryRun = False,  # noqa: FBT002 - FastAPI reads the query from parameters
    ) -> Response:
        request = body.request(app, kind)  # type: ignore[attr-defined]
        if dry_run:
            found = operations.estimate_export(context.runtime, request)
            return answered(EstimateAnswer.model_validate(found, from_attributes=True))
        task = operations.create_export(context.runtime, request, idempotency_key=idempotency_key)
        return _accepted(context, app, task)

    return create


DryRun = Annotated[bool, Query(alias="dryRun", description="Only estimate; no task is created.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Your name of this request; a repeat of it gives the same task.",
    ),
]


def _add(word: str, operation: str, kind: ExportType, model: type[Asked]) -> None:
    router.add_api_route(
        f"{TASKS_PATH}/{word}",
        _create(kind, model),
        methods=["POST"],
        status_code=202,
        operation_id=f"ExportTasks_{operation}",
        summary=f"Create a task to export {word}.",
        response_model=Task,
        responses=FAILURES | {200: {"model": EstimateAnswer, "description": "A dry run."}},
    )


for _word, _kind in HISTORIES.items():
    _add(_word, f"Create{_word.capitalize()}Task", _kind, AskedHistory)
for _word, _kind in SNAPSHOTS.items():
    _add(_word, f"Create{_word.capitalize()}Task", _kind, AskedSnapshot)
_add("feedbackByDate", "CreateFeedbackTaskByDateRange", ExportType.PUSH, AskedWindow)
_add("feedbackByCampaign", "CreateFeedbackTaskByCampaign", ExportType.PUSH, AskedCampaigns)
