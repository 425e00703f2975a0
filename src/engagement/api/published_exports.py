"""This module answers the export operations exactly as version 2014-12-01 publishes them."""

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.api.context import (
    APP_PATH,
    AppToExport,
    AppToRead,
    Context,
    DirectRoute,
    InContext,
    readable_app,
    resource_address,
)
from engagement.api.paging import next_page, task_page
from engagement.api.schemas import FAILURES, Answer, Instant, UtcInstant, answered
from engagement.exceptions import UnknownTaskError
from engagement.model.apps import App
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    ExportFormat,
    ExportState,
    ExportTask,
    ExportType,
    TaskPage,
    TimeRange,
)

VERSION = "2014-12-01"
TASKS_PATH = f"{APP_PATH}/devices/exportTasks"
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

router = APIRouter(tags=["ExportTasks"])


class PublishedFormat(StrEnum):
    """The formats of the published contract."""

    JSON = ExportFormat.JSON.value
    CSV = ExportFormat.CSV.value


class Asked(BaseModel):
    """What every published request has; fields that are not published are left aside."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    container_url: str = Field(description="Container with a SAS that may write.")
    description: str | None = Field(default=None, description="The client's own words.")
    export_format: PublishedFormat = Field(description="The format of exported data.")

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """What is asked, in our own words."""
        return self.completed(app, kind)

    def completed(
        self,
        app: App,
        kind: ExportType,
        *,
        time_range: TimeRange | None = None,
        campaign_type: CampaignType | None = None,
        campaign_ids: tuple[int, ...] = (),
    ) -> ExportRequest:
        """The request with what only some of them have."""
        return ExportRequest(
            app_id=app.app_id,
            export_type=kind,
            export_format=ExportFormat(self.export_format.value),
            container_url=self.container_url,
            description=self.description or "",
            time_range=time_range,
            campaign_type=campaign_type,
            campaign_ids=campaign_ids,
        )


class AskedDays(Asked):
    """A history of whole UTC days, both included."""

    start_date: date
    end_date: date

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """What is asked, in our own words."""
        return self.completed(
            app, kind, time_range=TimeRange.of_days(self.start_date, self.end_date)
        )


class AskedWindow(Asked):
    """The feedback of the campaigns of a window."""

    campaign_type: CampaignType
    campaign_window_start: UtcInstant
    campaign_window_end: UtcInstant

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """What is asked, in our own words."""
        return self.completed(
            app,
            kind,
            time_range=TimeRange(start=self.campaign_window_start, end=self.campaign_window_end),
            campaign_type=self.campaign_type,
        )


class AskedCampaigns(Asked):
    """The feedback of campaigns by their ids."""

    campaign_type: CampaignType
    campaign_ids: list[int]

    def request(self, app: App, kind: ExportType) -> ExportRequest:
        """What is asked, in our own words."""
        return self.completed(
            app, kind, campaign_type=self.campaign_type, campaign_ids=tuple(self.campaign_ids)
        )


class PublishedTask(Answer):
    """A task as it is published."""

    id: str
    state: str
    export_type: str
    description: str | None = None
    date_created: Instant
    date_completed: Instant | None = None
    error_details: str | None = None


class PublishedTasks(Answer):
    """A page of tasks."""

    value: list[PublishedTask]
    next_link: str | None = None


def published(task: ExportTask) -> PublishedTask:
    """A task with the fields and states that version 2014-12-01 knows."""
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


def task_of(context: Context, app: App, task_id: str) -> ExportTask:
    """The task, if it belongs to the app.

    Raises:
        UnknownTaskError: It does not, or there is none.
    """
    try:
        task = operations.get_export(context.runtime, task_id)
    except UnknownTaskError:
        task = None
    if task is None or task.app_id != app.app_id:
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
    found = operations.list_exports_page(context.runtime, app.app_id, page)
    link = None
    if len(found) > page.top:
        query = {"api-version": VERSION, **next_page(page)}
        link = resource_address(context, app, "devices/exportTasks", query)
    return answered(
        PublishedTasks(value=[published(one) for one in found[: page.top]], next_link=link)
    )


async def get_task(request: Request) -> Response:
    """An export task."""
    app = await readable_app(request)
    return answered(published(task_of(request.app.state.context, app, request.path_params["id"])))


router.add_api_route(
    f"{TASKS_PATH}/{{id}}",
    get_task,
    operation_id="ExportTasks_Get",
    response_model=PublishedTask,
    responses=FAILURES,
    route_class_override=DirectRoute,
)


def _created(context: InContext, app: App, request: ExportRequest) -> Response:
    task = operations.create_export(context.runtime, request)
    place = resource_address(
        context, app, f"devices/exportTasks/{task.task_id}", {"api-version": VERSION}
    )
    return answered(published(task), 202, {"Location": place})


def _create(kind: ExportType, model: type[Asked]) -> Callable[..., Response]:
    def create(context: InContext, app: AppToExport, body: model) -> Response:  # type: ignore[valid-type]
        return _created(context, app, body.request(app, kind))  # type: ignore[attr-defined]

    return create


def _add(word: str, operation: str, kind: ExportType, model: type[Asked]) -> None:
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
    _add(_word, f"Create{_word.capitalize()}Task", _kind, AskedDays)
for _word, _kind in SNAPSHOTS.items():
    _add(_word, f"Create{_word.capitalize()}Task", _kind, Asked)
_add("feedbackByDate", "CreateFeedbackTaskByDateRange", ExportType.PUSH, AskedWindow)
_add("feedbackByCampaign", "CreateFeedbackTaskByCampaign", ExportType.PUSH, AskedCampaigns)
