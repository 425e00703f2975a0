"""Answers about devices: lists and single ones, tags that are set, imports of tags."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.model.apps import App
from engagement.model.choices import ORDER_CHARACTERS_MAX
from engagement.model.devices import DeviceState
from engagement.model.tag_imports import ImportTask
from engagement.server.dependencies import (
    APP_PATH,
    AppToOwn,
    AppToRead,
    BodyRoute,
    Context,
    InContext,
    resource_address,
)
from engagement.server.management.odata import TOP_DEFAULT, Skip, Top
from engagement.server.schemas import FAILURES, Answer, AnyCaseBody, ResponseInstant, json_response

DEVICES_MAX = 100
IMPORTS_PATH = f"{APP_PATH}/devices/importTasks"

router = APIRouter(tags=["Devices"], route_class=BodyRoute)
TaskId = Annotated[str, Path(alias="id", description="Import task identifier.")]


class DeviceMeta(Answer):
    """When a device was seen; milliseconds since 1970."""

    first_seen: int | None = None
    last_seen: int | None = None
    last_info: int | None = None
    last_location: int | None = None
    native_push_enabled: bool | None = None


class ListedDevice(Answer):
    """A device with the properties that were selected."""

    device_id: str
    meta: DeviceMeta | None = None
    app_info: dict[str, str] | None = None


class ListedDevices(Answer):
    """A page of devices."""

    value: list[ListedDevice]
    next_link: str | None = None


class Device(ListedDevice):
    """A device with everything that is known of it."""

    info: dict[str, str | int]
    location: dict[str, str]


class TagsBody(AnyCaseBody):
    """Tags to set, by device or user id."""

    delete_on_null: bool = Field(default=False, description="Whether null deletes a tag.")
    tags: dict[str, dict[str, str | None]]


class TagsAnswer(Answer):
    """The ids that were rejected."""

    invalid_ids: list[str]


class ImportBody(AnyCaseBody):
    """Where the tags to import lie."""

    storage_url: str = Field(description="A blob with a SAS that may read; a secret.")


class ImportAnswer(Answer):
    """An import of tags."""

    id: str
    state: str
    storage_url: str = Field(description="The blob, without its SAS.")
    date_created: ResponseInstant
    date_completed: ResponseInstant | None = None
    error_details: str | None = None


class ImportsAnswer(Answer):
    """A page of imports."""

    value: list[ImportAnswer]
    next_link: str | None = None


class ErasureAnswer(Answer):
    """What an erasure took out."""

    devices: int = Field(description="Devices that are erased.")
    refused: int = Field(description="Refused records that named one of them.")


def _milliseconds(instant: datetime | None) -> int | None:
    return None if instant is None else round(instant.timestamp() * 1_000)


def _meta(state: DeviceState) -> DeviceMeta:
    return DeviceMeta(
        first_seen=_milliseconds(state.first_seen_at),
        last_seen=_milliseconds(state.last_seen_at),
        last_info=_milliseconds(state.info_at),
        last_location=_milliseconds(state.location_at),
        native_push_enabled=state.native_push_enabled,
    )


def _listed_device(state: DeviceState) -> ListedDevice:
    meta = _meta(state)
    return ListedDevice(
        device_id=state.device_id,
        meta=meta if meta.model_dump(exclude_none=True) else None,
        app_info=dict(state.app_info) or None,
    )


def _whole_device(state: DeviceState) -> Device:
    return Device(
        device_id=state.device_id,
        meta=_meta(state),
        app_info=dict(state.app_info),
        info=dict(state.info),
        location=dict(state.location),
    )


@router.get(
    f"{APP_PATH}/devices",
    operation_id="Devices_List",
    response_model=ListedDevices,
    responses=FAILURES,
)
def list_devices(  # noqa: PLR0913, PLR0917 - FastAPI reads the query from parameters
    request: Request,
    context: InContext,
    app: AppToRead,
    top: Annotated[int, Query(alias="$top", ge=1, description="100 at most.")] = DEVICES_MAX,
    select: Annotated[
        str | None, Query(alias="$select", description="`meta`, `appInfo`, or parts of them.")
    ] = None,
    filter_: Annotated[
        str | None,
        Query(alias="$filter", description="Ranges of `deviceId` and `lastModified`."),
    ] = None,
) -> Response:
    """A page of the app's devices, in the order of their ids."""
    page = operations.list_devices(
        context.runtime,
        app.app_id,
        top=min(top, DEVICES_MAX),
        select=select,
        filter=filter_,
    )
    link = None
    if page.next_filter is not None:
        query = {"api-version": request.query_params["api-version"], "$top": str(top)}
        query |= {"$select": select} if select else {}
        link = resource_address(context, app, "devices", query | {"$filter": page.next_filter})
    return json_response(
        ListedDevices(value=[_listed_device(device) for device in page.devices], next_link=link)
    )


@router.get(
    IMPORTS_PATH,
    operation_id="ImportTasks_List",
    response_model=ImportsAnswer,
    responses=FAILURES,
)
def list_imports(  # noqa: PLR0913, PLR0917 - FastAPI reads the query from parameters
    request: Request,
    context: InContext,
    app: AppToRead,
    skip: Skip = 0,
    top: Top = TOP_DEFAULT,
    orderby: Annotated[
        str | None,
        Query(
            alias="$orderby",
            max_length=ORDER_CHARACTERS_MAX,
            description="`{property} [asc|desc]`: jobId, errorDetails, dateCreated or jobStatus.",
        ),
    ] = None,
) -> Response:
    """A page of the app's imports of tags."""
    page = operations.list_import_tasks(
        context.runtime, app.app_id, skip=skip, top=top, order_by=orderby
    )
    link = None
    if page.has_more:
        query = {"api-version": request.query_params["api-version"]}
        query |= {"$skip": str(skip + top), "$top": str(top)}
        query |= {"$orderby": orderby} if orderby else {}
        link = resource_address(context, app, "devices/importTasks", query)
    return json_response(
        ImportsAnswer(value=[_import(task) for task in page.tasks], next_link=link)
    )


@router.post(
    IMPORTS_PATH,
    operation_id="ImportTasks_Create",
    response_model=ImportAnswer,
    responses=FAILURES,
    status_code=202,
)
def create_import(
    request: Request, context: InContext, app: AppToOwn, body: ImportBody
) -> Response:
    """Import the tags that lie in a blob, in the background."""
    task = operations.create_import_task(context.runtime, app.app_id, storage_url=body.storage_url)
    place = _import_address(context, app, task, request.query_params["api-version"])
    return json_response(_import(task), 202, {"Location": place})


def _import_address(context: Context, app: App, task: ImportTask, version: str) -> str:
    rest = f"devices/importTasks/{task.task_id}"
    return resource_address(context, app, rest, {"api-version": version})


@router.get(
    f"{IMPORTS_PATH}/{{id}}",
    operation_id="ImportTasks_Get",
    response_model=ImportAnswer,
    responses=FAILURES,
)
def get_import(context: InContext, app: AppToRead, task_id: TaskId) -> Response:
    """An import of tags."""
    return json_response(_import(operations.get_import_task(context.runtime, app.app_id, task_id)))


def _import(task: ImportTask) -> ImportAnswer:
    return ImportAnswer(
        id=task.task_id,
        state=task.state.value,
        storage_url=task.storage,
        date_created=task.created_at,
        date_completed=task.completed_at,
        error_details=task.error_details,
    )


@router.post(
    f"{APP_PATH}/devices/tag",
    operation_id="Devices_TagByDeviceId",
    response_model=TagsAnswer,
    responses=FAILURES,
)
def tag_devices(context: InContext, app: AppToOwn, body: TagsBody) -> Response:
    """Set the tags of devices; ids that are not the app's are in the answer."""
    return _set_tags(context, app, body, by_user=False)


@router.post(
    f"{APP_PATH}/users/tag",
    operation_id="Devices_TagByUserId",
    response_model=TagsAnswer,
    responses=FAILURES,
)
def tag_users(context: InContext, app: AppToOwn, body: TagsBody) -> Response:
    """Set the tags of users' devices; ids that are not the app's are in the answer."""
    return _set_tags(context, app, body, by_user=True)


def _set_tags(context: Context, app: App, body: TagsBody, *, by_user: bool) -> Response:
    invalid = operations.tag_devices(
        context.runtime,
        app.app_id,
        body.tags,
        by_user=by_user,
        delete_on_null=body.delete_on_null,
    )
    return json_response(TagsAnswer(invalid_ids=invalid))


@router.get(
    f"{APP_PATH}/devices/{{deviceId}}",
    operation_id="Devices_GetByDeviceId",
    response_model=Device,
    responses=FAILURES,
)
def get_device(
    context: InContext,
    app: AppToRead,
    device_id: Annotated[str, Path(alias="deviceId", description="Device identifier.")],
) -> Response:
    """A device, by its id."""
    return json_response(
        _whole_device(operations.get_device(context.runtime, app.app_id, device_id))
    )


@router.delete(
    f"{APP_PATH}/devices/{{deviceId}}",
    operation_id="Devices_Erase",
    response_model=ErasureAnswer,
    responses=FAILURES,
)
def erase_device(
    context: InContext,
    app: AppToOwn,
    device_id: Annotated[str, Path(alias="deviceId", description="Device identifier.")],
) -> Response:
    """Take a device out of everything that is kept, for good."""
    return _erase(context, app, device_id=device_id)


@router.delete(
    f"{APP_PATH}/users/{{userId}}",
    operation_id="Devices_EraseUser",
    response_model=ErasureAnswer,
    responses=FAILURES,
)
def erase_user(
    context: InContext,
    app: AppToOwn,
    user_id: Annotated[str, Path(alias="userId", description="User identifier.")],
) -> Response:
    """Take every device that ever named a user out of everything that is kept, for good."""
    return _erase(context, app, user_id=user_id)


def _erase(context: Context, app: App, **meant: str) -> Response:
    arguments = {"app_id": app.app_id, **meant}
    report = operations.request_upkeep(context.runtime, "erase", arguments)
    return json_response(ErasureAnswer(devices=report["devices"], refused=report["refused"]))


@router.get(
    f"{APP_PATH}/users/{{userId}}",
    operation_id="Devices_GetByUserId",
    response_model=Device,
    responses=FAILURES,
)
def get_user(
    context: InContext,
    app: AppToRead,
    user_id: Annotated[str, Path(alias="userId", description="User identifier.")],
) -> Response:
    """The device that a user used last."""
    return json_response(
        _whole_device(operations.get_device_by_user(context.runtime, app.app_id, user_id))
    )
