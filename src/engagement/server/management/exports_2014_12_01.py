"""Answers the export operations exactly as version 2014-12-01 publishes them."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import UnknownTaskError
from engagement.model.apps import App
from engagement.model.export_options import ExportOptions, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.model.exports import (
    PUBLISHED_TYPES,
    CampaignType,
    ExportFormat,
    ExportState,
    ExportType,
)
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
from engagement.server.management.export_routes import TASKS_PATH, list_page, task_of
from engagement.server.management.odata import task_page
from engagement.server.schemas import (
    FAILURES,
    Answer,
    AnyCaseBody,
    ResponseInstant,
    UtcDay,
    UtcInstant,
    json_response,
)

VERSION = "2014-12-01"
HISTORIES = {
    "activities": ExportType.ACTIVITY,
    "crashes": ExportType.CRASH,
    "errors": ExportType.ERROR,
    "events": ExportType.EVENT,
    "jobs": ExportType.JOB,
    "sessions": ExportType.SESSION,
}
SNAPSHOTS = {
    "devices": ExportType.DEVICE,
    "tags": ExportType.TAG,
    "tokens": ExportType.TOKEN,
}

router = APIRouter(tags=["ExportTasks"], route_class=BodyRoute)


class PublishedFormat(StrEnum):
    """The formats of the published contract."""

    JSON = ExportFormat.JSON.value
    CSV = ExportFormat.CSV.value


class PublishedOptions(AnyCaseBody):
    """Options to control export generation."""

    export_user_id: bool = False


class PublishedBody(AnyCaseBody):
    """What every published request has; fields that are not published are left aside."""

    container_url: str = Field(description="Container with a SAS that may write.")
    description: str | None = Field(default=None, description="The client's own words.")
    export_format: PublishedFormat = Field(description="The format of exported data.")
    export_options: PublishedOptions | None = None

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """Return the request, in our own words.

        Raises:
            InvalidExportError: There is no such export.
        """
        return request_of(
            app.app_id, kind, self.container_url, self.options(), published_contract=True
        )

    def options(self) -> ExportOptions:
        """Return the options by their keywords."""
        has_user = self.export_options is not None and self.export_options.export_user_id
        return {
            "export_format": self.export_format.value,
            "description": self.description or "",
            "include_user_id": has_user,
        }


class PublishedDaysBody(PublishedBody):
    """A history of whole UTC days, both included."""

    start_date: UtcDay
    end_date: UtcDay

    def options(self) -> ExportOptions:
        """Return the options by their keywords."""
        return {**super().options(), "start": self.start_date, "end": self.end_date}


class PublishedWindowBody(PublishedBody):
    """The feedback of the campaigns of a window."""

    campaign_type: CampaignType
    campaign_window_start: UtcInstant
    campaign_window_end: UtcInstant

    def options(self) -> ExportOptions:
        """Return the options by their keywords."""
        return {
            **super().options(),
            "start": self.campaign_window_start,
            "end": self.campaign_window_end,
            "campaign_type": self.campaign_type,
        }


class PublishedCampaignsBody(PublishedBody):
    """The feedback of campaigns by their ids."""

    campaign_type: CampaignType
    campaign_ids: list[int]

    def options(self) -> ExportOptions:
        """Return the options by their keywords."""
        return {
            **super().options(),
            "campaign_type": self.campaign_type,
            "campaign_ids": self.campaign_ids,
        }


class PublishedTask(Answer):
    """A task as it is published."""

    id: str
    state: str
    export_type: str
    description: str | None = None
    date_created: ResponseInstant
    date_completed: ResponseInstant | None = None
    error_details: str | None = None


class PublishedTasks(Answer):
    """A page of tasks."""

    value: list[PublishedTask]
    next_link: str | None = None


def task_body(task: ExportTask) -> PublishedTask:
    """Return a task with the fields and states that version 2014-12-01 knows."""
    state = ExportState.FAILED if task.state is ExportState.CANCELLED else task.state
    return PublishedTask(
        id=task.task_id,
        state=state.value,
        export_type=task.export_type.value,
        description=task.description or None,
        date_created=task.created_at,
        date_completed=task.completed_at,
        error_details=_error_details(task),
    )


def _error_details(task: ExportTask) -> str | None:
    if task.state is ExportState.CANCELLED:
        return "Cancelled"
    if task.error_code is None:
        return None
    return f"{task.error_code}: {task.error_details}" if task.error_details else task.error_code


def _published_task(context: Context, app: App, task_id: str) -> ExportTask:
    """The app's task, if this contract can show it.

    Raises:
        UnknownTaskError: The app has none with this id, or none whose type is published.
    """
    task = task_of(context, app, task_id)
    if not task.request.published_contract and task.export_type not in PUBLISHED_TYPES:
        raise UnknownTaskError("The app has no export task with this id.")
    return task


@router.get(
    TASKS_PATH,
    operation_id="ExportTasks_List",
    response_model=PublishedTasks,
    responses=FAILURES,
)
def list_tasks(
    context: InContext, app: AppToRead, page: Annotated[TaskPage, Depends(task_page)]
) -> Response:
    """A page of the app's export tasks."""
    page = replace(page, published_contract=True)
    tasks, link = list_page(context, app, page, version=VERSION)
    return json_response(PublishedTasks(value=[task_body(task) for task in tasks], next_link=link))


async def get_task(request: Request) -> Response:
    """An export task."""
    app = await readable_app(request)
    task = _published_task(request.app.state.context, app, request.path_params["id"])
    return json_response(task_body(task))


router.add_api_route(
    f"{TASKS_PATH}/{{id}}",
    get_task,
    operation_id="ExportTasks_Get",
    response_model=PublishedTask,
    responses=FAILURES,
    route_class_override=DirectRoute,
)


def _create_task(context: InContext, app: App, request: ExportRequest) -> Response:
    task = operations.create_export(context.runtime, request)
    place = resource_address(
        context, app, f"devices/exportTasks/{task.task_id}", {"api-version": VERSION}
    )
    return json_response(task_body(task), 202, {"Location": place})


def _create(kind: ExportType, model: type[PublishedBody]) -> Callable[..., Response]:
    def create(context: InContext, app: AppToExport, body: model) -> Response:  # type: ignore[valid-type]
        return _create_task(context, app, body.request(app, kind))  # type: ignore[attr-defined]

    return create


def _add(word: str, operation: str, kind: ExportType, model: type[PublishedBody]) -> None:
    router.add_api_route(
        f"{TASKS_PATH}/{word}",
        _create(kind, model),
        methods=["POST"],
        status_code=202,
        operation_id=f"ExportTasks_{operation}",
        summary=f"Creates a task to export {word}.",
        response_model=PublishedTask,
        responses=FAILURES,
    )


for _word, _kind in HISTORIES.items():
    _add(_word, f"Create{_word.capitalize()}Task", _kind, PublishedDaysBody)
for _word, _kind in SNAPSHOTS.items():
    _add(_word, f"Create{_word.capitalize()}Task", _kind, PublishedBody)
_add("feedbackByDate", "CreateFeedbackTaskByDateRange", ExportType.PUSH, PublishedWindowBody)
_add("feedbackByCampaign", "CreateFeedbackTaskByCampaign", ExportType.PUSH, PublishedCampaignsBody)
