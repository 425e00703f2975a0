"""Answers what a client needs to find its way: collections, apps, platforms, names."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import UnknownAppError
from engagement.model.access import Caller
from engagement.model.apps import PROVIDER, App
from engagement.runtime.opening import Runtime
from engagement.server.dependencies import (
    COLLECTION_PATH,
    SUBSCRIPTION_PATH,
    BodyRoute,
    ByCaller,
    InContext,
)
from engagement.server.management.exports_2014_12_01 import VERSION as PUBLISHED_VERSION
from engagement.server.schemas import FAILURES, Answer, AnyCaseBody, json_response

PLATFORMS = ("Android", "iOS", "Web", "Windows", "WindowsPhone", "WindowsXaml")
LOCATION = "Global"
COLLECTION_NAME_CHARACTERS_MAX = 64

router = APIRouter(tags=["Resources"], route_class=BodyRoute)


class CollectionProperties(Answer):
    """The state of a collection."""

    provisioning_state: str = "Succeeded"


class AppProperties(Answer):
    """What identifies an app to its devices and in exports."""

    backend_id: str
    platform: str = ""
    app_state: str = "Active"
    retention_days: int | None = Field(
        default=None, description="Days of history that are kept; absent if all is kept."
    )


class Resource(Answer):
    """What every resource has."""

    id: str
    name: str
    type: str
    location: str = LOCATION
    tags: dict[str, str] = Field(default_factory=dict)


class Collection(Resource):
    """An app collection."""

    properties: CollectionProperties = CollectionProperties()


class AppResource(Resource):
    """An app."""

    properties: AppProperties


class Collections(Answer):
    """All app collections of a subscription."""

    value: list[Collection]
    next_link: str | None = None


class Apps(Answer):
    """All apps of a collection."""

    value: list[AppResource]
    next_link: str | None = None


class Platforms(Answer):
    """The platforms whose apps may report."""

    platforms: list[str]


class NameBody(AnyCaseBody):
    """The name that a new collection would have."""

    name: Annotated[str, Field(description="Name.")] = ""


class NameAvailability(Answer):
    """Whether a new collection may have the name."""

    name: str
    available: bool
    unavailability_reason: str | None = None


@router.get(
    f"{SUBSCRIPTION_PATH}/appCollections",
    operation_id="AppCollections_List",
    response_model=Collections,
    responses=FAILURES,
)
def list_collections(request: Request, context: InContext, caller: ByCaller) -> Response:
    """The app collections of a subscription that the caller may see."""
    found: dict[str, Collection] = {}
    for app in _apps(request, context.runtime, caller):
        path = app.resource_path.rsplit("/apps/", 1)[0]
        found.setdefault(
            path.lower(),
            Collection(id=path, name=app.collection, type=f"{PROVIDER}/appcollections"),
        )
    return json_response(Collections(value=list(found.values())))


@router.get(
    f"{COLLECTION_PATH}/apps",
    operation_id="Apps_List",
    response_model=Apps,
    responses=FAILURES,
)
def list_apps(request: Request, context: InContext, caller: ByCaller) -> Response:
    """The apps of a collection that the caller may see."""
    group, collection = (
        request.path_params[name].lower() for name in ("resourceGroupName", "appCollection")
    )
    found = [
        app
        for app in _apps(request, context.runtime, caller)
        if app.collection.lower() == collection and app.resource_group.lower() == group
    ]
    if not found:
        raise UnknownAppError("No app collection has this resource path.")
    is_published = request.query_params["api-version"] == PUBLISHED_VERSION
    value = [app_resource(app, is_published=is_published) for app in found]
    return json_response(Apps(value=value))


def app_resource(app: App, *, is_published: bool = False) -> AppResource:
    """Return an app as the answer shows it, with what its version has."""
    days = None if is_published else app.retention_days
    return AppResource(
        id=app.resource_path,
        name=app.name,
        type=f"{PROVIDER}/appcollections/apps",
        properties=AppProperties(backend_id=app.app_id, retention_days=days),
    )


@router.get(
    f"{SUBSCRIPTION_PATH}/supportedPlatforms",
    operation_id="SupportedPlatforms_List",
    response_model=Platforms,
    responses=FAILURES,
)
def list_platforms(request: Request, context: InContext, caller: ByCaller) -> Response:
    """The platforms whose apps may report."""
    _apps(request, context.runtime, caller)
    return json_response(Platforms(platforms=list(PLATFORMS)))


@router.post(
    f"{SUBSCRIPTION_PATH}/checkAppCollectionNameAvailability",
    operation_id="AppCollections_CheckNameAvailability",
    response_model=NameAvailability,
    responses=FAILURES,
)
def check_name(request: Request, context: InContext, caller: ByCaller, body: NameBody) -> Response:
    """Whether a new collection of the subscription may have a name."""
    taken = {app.collection.lower() for app in _apps(request, context.runtime, caller)}
    reason = None
    if not 0 < len(body.name) <= COLLECTION_NAME_CHARACTERS_MAX or "/" in body.name:
        reason = "Invalid"
    elif body.name.lower() in taken:
        reason = "AlreadyExists"
    return json_response(
        NameAvailability(name=body.name, available=reason is None, unavailability_reason=reason)
    )


def _apps(request: Request, runtime: Runtime, caller: Caller) -> list[App]:
    """The apps of a subscription that the caller may see; others' are like unknown ones."""
    subscription = request.path_params["subscriptionId"]
    found = [
        app
        for app in operations.list_apps(runtime)
        if app.subscription.lower() == subscription.lower() and caller.sees(app)
    ]
    if not found:
        raise UnknownAppError("No subscription has this id.")
    return found
