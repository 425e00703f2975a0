"""Answers about a single app: what it is, and how long its history is kept."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from engagement import operations
from engagement.model.apps import RETENTION_DAYS_MAX
from engagement.server.dependencies import (
    APP_PATH,
    AppToOwn,
    AppToRead,
    BodyRoute,
    InContext,
)
from engagement.server.management.resources import AppResource, app_resource
from engagement.server.schemas import FAILURES, StrictBody, json_response

router = APIRouter(tags=["Resources"], route_class=BodyRoute)


RetentionDays = Annotated[
    int,
    Field(strict=True, json_schema_extra={"minimum": 1, "maximum": RETENTION_DAYS_MAX}),
]
"""The operation says better than pydantic what is wrong with a number."""


class RetentionBody(StrictBody):
    """How long the history of an app is kept."""

    days: RetentionDays | None = Field(description="Days of history that are kept; null keeps all.")


@router.get(APP_PATH, operation_id="Apps_Get", response_model=AppResource, responses=FAILURES)
def get_app(context: InContext, app: AppToRead) -> Response:
    """An app."""
    # What was found by its path may be some seconds old.
    return json_response(app_resource(operations.get_app(context.runtime, app.app_id)))


@router.put(
    f"{APP_PATH}/retention",
    operation_id="Apps_SetRetention",
    response_model=AppResource,
    responses=FAILURES,
)
def set_retention(context: InContext, app: AppToOwn, body: RetentionBody) -> Response:
    """Set how long an app's history is kept."""
    changed = operations.set_retention(context.runtime, app.app_id, body.days)
    return json_response(app_resource(changed))
