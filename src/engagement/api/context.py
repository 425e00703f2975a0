"""This module gives routes what they work with: the runtime, the caller and the app of the path."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends, Path
from starlette.requests import Request

from engagement import operations
from engagement.api.auth import Authentication
from engagement.api.metrics import Metrics
from engagement.exceptions import ForbiddenError, UnknownAppError
from engagement.model.access import Caller, Role
from engagement.model.apps import App
from engagement.runtime import Runtime

PROVIDER = "Microsoft.MobileEngagement"
SUBSCRIPTION_PATH = f"/subscriptions/{{subscriptionId}}/providers/{PROVIDER}"
COLLECTION_PATH = (
    "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
    f"/providers/{PROVIDER}/appcollections/{{appCollection}}"
)
APP_PATH = f"{COLLECTION_PATH}/apps/{{appName}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the server was opened with."""

    runtime: Runtime
    """The service."""
    authentication: Authentication
    """Who may come in."""
    metrics: Metrics
    """What is counted."""
    public_url: str
    """Address by which clients reach the server, without a slash at its end."""


def context_of(request: Request) -> Context:
    """What the server was opened with."""
    context: Context = request.app.state.context
    return context


def caller_of(request: Request) -> Caller:
    """Who makes the request; the edge lets nobody else in."""
    caller: Caller = request.state.caller
    return caller


InContext = Annotated[Context, Depends(context_of)]
ByCaller = Annotated[Caller, Depends(caller_of)]
SubscriptionId = Annotated[
    str, Path(alias="subscriptionId", description="The subscription that owns the apps.")
]
ResourceGroup = Annotated[
    str, Path(alias="resourceGroupName", description="The name of the resource group.")
]
CollectionName = Annotated[str, Path(alias="appCollection", description="Application collection.")]
AppName = Annotated[str, Path(alias="appName", description="Application resource name.")]


class AppFor:
    """The app of the path, for callers with a role; others' apps are like unknown ones."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __call__(  # noqa: PLR0913, PLR0917 - a resource path has so many names
        self,
        context: InContext,
        caller: ByCaller,
        subscription: SubscriptionId,
        resource_group: ResourceGroup,
        collection: CollectionName,
        name: AppName,
    ) -> App:
        """The app.

        Raises:
            UnknownAppError: There is none, or the caller may not know of it.
            ForbiddenError: The caller may read it, but not do this.
        """
        app = operations.find_app(
            context.runtime,
            subscription=subscription,
            resource_group=resource_group,
            collection=collection,
            name=name,
        )
        if not caller.sees(app):
            raise UnknownAppError("No app has this resource path.")
        if not caller.may(self._role, app):
            raise ForbiddenError(f"This needs the role {self._role}, which the client lacks.")
        return app


AppToRead = Annotated[App, Depends(AppFor(Role.READER))]
AppToExport = Annotated[App, Depends(AppFor(Role.EXPORTER))]
AppToOwn = Annotated[App, Depends(AppFor(Role.OWNER))]


def resource_address(context: Context, app: App, rest: str, query: dict[str, str]) -> str:
    """The absolute address of something that belongs to an app."""
    path = quote(f"{app.resource_path}/{rest}", safe="/")
    return f"{context.public_url}{path}?{urlencode(query)}"
