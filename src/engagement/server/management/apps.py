"""Answers what version 2026-11-01 adds for owners of an app: keys, rename, delete, audit log."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from engagement import operations
from engagement.model.apps import AppKey, NewAppKey
from engagement.model.audit import RecordedChange, write_csv
from engagement.server.dependencies import (
    APP_PATH,
    AppToOwn,
    BodyRoute,
    InContext,
    resource_address,
)
from engagement.server.management.resources import AppResource, app_resource
from engagement.server.schemas import (
    FAILURES,
    Answer,
    ResponseInstant,
    StrictBody,
    UtcInstant,
    json_response,
)

VERSION = "2026-11-01"
KEYS_PATH = f"{APP_PATH}/keys"
POSITION_MAX = 2**63 - 1
KEEP_HOURS = operations.KEEP_HOURS_DEFAULT

router = APIRouter(tags=["Apps"], route_class=BodyRoute)
KeyId = Annotated[str, Path(alias="keyId", description="Id of the key, or its name.")]


class KeyBody(StrictBody):
    """A key to make."""

    name: str = Field(description="Your words for it, 1 to 64 printable characters.")
    ends_at: UtcInstant | None = Field(default=None, description="When it ends by itself.")


class RotateBody(StrictBody):
    """How a key is exchanged."""

    ends_at: UtcInstant | None = Field(default=None, description="When the new key ends by itself.")
    keep_hours: Annotated[int, Field(ge=0, le=operations.KEEP_HOURS_MAX, strict=True)] = KEEP_HOURS


class RenameBody(StrictBody):
    """Another name of an app."""

    name: str = Field(description="1 to 64 printable characters without a slash.")


class KeyAnswer(Answer):
    """What is known of a key; the key itself is nowhere."""

    id: str
    name: str
    created_at: ResponseInstant
    ends_at: ResponseInstant | None = None
    revoked_at: ResponseInstant | None = None
    last_used_at: ResponseInstant | None = Field(default=None, description="To ten minutes.")


class NewKeyAnswer(KeyAnswer):
    """A key that was just made."""

    app_key: str = Field(description="What devices write with, shown this once.")


class Keys(Answer):
    """All keys of an app, the oldest first."""

    value: list[KeyAnswer]


class DeletionAnswer(Answer):
    """How far a deletion is; the app itself is gone at once."""

    rows: int = Field(description="Rows of the state database that were deleted.")
    unfinished: int = Field(description="Tasks that must end first; 0 if all data is gone.")


class ChangeAnswer(Answer):
    """A change that somebody asked for."""

    position: int
    changed_at: ResponseInstant
    actor: str
    action: str
    app_id: str | None = None
    subject: str


class ChangesAnswer(Answer):
    """A page of changes, the newest first."""

    value: list[ChangeAnswer]
    next_link: str | None = None


@router.get(KEYS_PATH, operation_id="Keys_List", response_model=Keys, responses=FAILURES)
def list_keys(context: InContext, app: AppToOwn) -> Response:
    """The keys that devices of the app write with, those that have ended too."""
    found = operations.list_keys(context.runtime, app.app_id)
    return json_response(Keys(value=[_key(key) for key in found]))


@router.post(
    KEYS_PATH,
    operation_id="Keys_Create",
    response_model=NewKeyAnswer,
    responses=FAILURES,
    status_code=201,
)
def create_key(context: InContext, app: AppToOwn, body: KeyBody) -> Response:
    """Make a further key of the app."""
    made = operations.create_key(context.runtime, app.app_id, name=body.name, ends_at=body.ends_at)
    return _made(made)


@router.post(
    f"{KEYS_PATH}/{{keyId}}/rotate",
    operation_id="Keys_Rotate",
    response_model=NewKeyAnswer,
    responses=FAILURES,
    status_code=201,
)
def rotate_key(context: InContext, app: AppToOwn, key_id: KeyId, body: RotateBody) -> Response:
    """Make a key in the place of another, which goes on for some hours."""
    made = operations.rotate_key(
        context.runtime, app.app_id, key_id, ends_at=body.ends_at, keep_hours=body.keep_hours
    )
    return _made(made)


@router.delete(
    f"{KEYS_PATH}/{{keyId}}",
    operation_id="Keys_Revoke",
    response_model=KeyAnswer,
    responses=FAILURES,
)
def revoke_key(context: InContext, app: AppToOwn, key_id: KeyId) -> Response:
    """End a key: what is sent with it is refused within 2 seconds."""
    return json_response(_key(operations.revoke_key(context.runtime, app.app_id, key_id)))


@router.patch(APP_PATH, operation_id="Apps_Rename", response_model=AppResource, responses=FAILURES)
def rename_app(context: InContext, app: AppToOwn, body: RenameBody) -> Response:
    """Give the app another name, and so another path."""
    renamed = operations.rename_app(context.runtime, app.app_id, name=body.name)
    return json_response(app_resource(renamed))


@router.delete(
    APP_PATH,
    operation_id="Apps_Delete",
    response_model=DeletionAnswer,
    responses=FAILURES | {202: {"model": DeletionAnswer, "description": "Its data goes soon."}},
)
def delete_app(
    context: InContext,
    app: AppToOwn,
    confirm: Annotated[str, Query(description="The app's name.")],
) -> Response:
    """Delete the app with its keys, tasks, refused records and tables, for good."""
    report = operations.delete_app(context.runtime, app.app_id, confirm=confirm)
    answer = DeletionAnswer(rows=report.rows, unfinished=report.unfinished)
    return json_response(answer, 202 if report.unfinished else 200)


@router.get(
    f"{APP_PATH}/auditLog", operation_id="Apps_ListChanges", response_model=ChangesAnswer,
    responses=FAILURES | {200: {"content": {"text/csv": {}}, "description": "A page of changes."}},
)  # fmt: skip
def list_changes(
    context: InContext,
    app: AppToOwn,
    top: Annotated[int, Query(ge=1, le=operations.CHANGES_PER_PAGE_MAX)] = 100,
    before: Annotated[int | None, Query(ge=1, le=POSITION_MAX)] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Response:
    """A page of who changed what of the app, the newest first, as JSON or CSV."""
    chosen = operations.AuditFilter(app_ids=frozenset({app.app_id}))
    found = operations.list_audit(context.runtime, chosen, limit=top, before=before)
    link = None
    if len(found) == top:
        query = {"api-version": VERSION, "top": str(top), "before": str(found[-1].position)}
        link = resource_address(context, app, "auditLog", query | {"format": form})
    if form == "csv":
        headers = {} if link is None else {"Link": f'<{link}>; rel="next"'}
        return Response(write_csv(found), media_type="text/csv; charset=utf-8", headers=headers)
    return json_response(ChangesAnswer(value=[_change(entry) for entry in found], next_link=link))


def _change(entry: RecordedChange) -> ChangeAnswer:
    change = entry.change
    return ChangeAnswer(
        position=entry.position,
        changed_at=change.changed_at,
        actor=change.actor,
        action=change.action.value,
        app_id=change.app_id,
        subject=change.subject,
    )


def _key(key: AppKey) -> KeyAnswer:
    return KeyAnswer(**_fields(key))


def _made(made: NewAppKey) -> Response:
    return json_response(NewKeyAnswer(**_fields(made.key), app_key=made.app_key), 201)


def _fields(key: AppKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "created_at": key.created_at,
        "ends_at": key.ends_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
