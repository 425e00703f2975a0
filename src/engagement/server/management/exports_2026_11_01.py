"""Answers the export operations of version 2026-11-01."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.model.apps import App
from engagement.model.export_options import (
    FEEDBACK_BY_CAMPAIGN,
    FEEDBACK_BY_DATE,
    body_of,
    create_word,
)
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.model.exports import ExportState, ExportType
from engagement.server.dependencies import (
    AppToExport,
    AppToRead,
    BodyRoute,
    Context,
    DirectRoute,
    InContext,
    readable_app,
    resource_address,
)
from engagement.server.management.export_bodies import (
    CampaignsBody,
    CreateBody,
    HistoryBody,
    SelectionAnswer,
    SnapshotBody,
    WindowBody,
)
from engagement.server.management.export_routes import TASKS_PATH, list_page, task_of
from engagement.server.management.odata import task_page
from engagement.server.schemas import FAILURES, Answer, ResponseInstant, StrictBody, json_response

VERSION = "2026-11-01"
POLL_SECONDS = 1

router = APIRouter(tags=["ExportTasks"], route_class=BodyRoute)
TaskId = Annotated[str, Path(alias="id", description="Export task identifier.")]


class RetryBody(StrictBody):
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


class Task(SelectionAnswer):  # type: ignore[valid-type,misc]
    """An export task, with what was asked of it by the names of the request."""

    id: str
    state: ExportState
    export_type: ExportType
    published_contract: bool | None = Field(
        default=None, description="Whether it was asked through version 2014-12-01."
    )
    container: str
    folder: str
    attempt: int
    date_created: ResponseInstant
    date_started: ResponseInstant | None = None
    date_completed: ResponseInstant | None = None
    error_code: str | None = None
    error_details: str | None = None
    progress: ProgressAnswer
    manifest: str | None = None


class Tasks(Answer):
    """A page of tasks."""

    value: list[Task]
    next_link: str | None = None


def task_body(task: ExportTask) -> Task:
    """Return a task with everything that may be shown of it."""
    has_manifest = task.state is ExportState.SUCCEEDED
    return Task(
        **{"description": "", **body_of(task.request)},
        id=task.task_id,
        state=task.state,
        export_type=task.export_type,
        published_contract=task.request.published_contract or None,
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
    tasks, link = list_page(context, app, page, version=VERSION)
    return json_response(Tasks(value=[task_body(task) for task in tasks], next_link=link))


async def get_task(request: Request) -> Response:
    """An export task, with its progress."""
    app = await readable_app(request)
    return json_response(
        task_body(task_of(request.app.state.context, app, request.path_params["id"]))
    )


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
    return json_response(task_body(operations.cancel_export(context.runtime, task.task_id)))


@router.post(
    f"{TASKS_PATH}/{{id}}/retry",
    operation_id="ExportTasks_Retry",
    response_model=Task,
    responses=FAILURES,
    status_code=202,
)
def retry_task(context: InContext, app: AppToExport, task_id: TaskId, body: RetryBody) -> Response:
    """Run a failed or cancelled task again; parts that were delivered stay delivered."""
    task = task_of(context, app, task_id)
    again = operations.retry_export(context.runtime, task.task_id, container_url=body.container_url)
    return _accepted(context, app, again)


def _accepted(context: Context, app: App, task: ExportTask) -> Response:
    rest = f"devices/exportTasks/{task.task_id}"
    place = resource_address(context, app, rest, {"api-version": VERSION})
    headers = {"Location": place, "Retry-After": str(POLL_SECONDS)}
    return json_response(task_body(task), 202, headers)


def _create(kind: ExportType, model: type[CreateBody]) -> Callable[..., Response]:
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
            return json_response(EstimateAnswer.model_validate(found, from_attributes=True))
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


def _add(word: str, operation: str, kind: ExportType, model: type[CreateBody]) -> None:
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


for _kind in ExportType:
    if _kind is not ExportType.PUSH:
        _word = create_word(_kind, by_campaign=False)
        _body = HistoryBody if _kind.is_historical else SnapshotBody
        _add(_word, f"Create{_word.capitalize()}Task", _kind, _body)
_add(FEEDBACK_BY_DATE, "CreateFeedbackTaskByDateRange", ExportType.PUSH, WindowBody)
_add(FEEDBACK_BY_CAMPAIGN, "CreateFeedbackTaskByCampaign", ExportType.PUSH, CampaignsBody)
