"""Describes what owners of an app ask a server for, without sending anything."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engagement.client.calls import Call, app_path, name_segment, read_app
from engagement.model.apps import App, AppKey, NewAppKey
from engagement.model.audit import Action, Change, RecordedChange
from engagement.model.instants import format_rfc3339, parse_rfc3339


def list_keys(app: App) -> Call[list[AppKey]]:
    """The keys of an app."""
    return Call(
        method="GET",
        path=f"{app_path(app)}/keys",
        parse=lambda body: [_key(item) for item in json.loads(body)["value"]],
    )


def create_key(app: App, name: str, ends_at: datetime | None) -> Call[NewAppKey]:
    """Make a key. If its answer is lost, a repeat makes another, and nobody knows the first."""
    return Call(
        method="POST",
        path=f"{app_path(app)}/keys",
        json={"name": name} | _end(ends_at),
        parse=_new_key,
    )


def rotate_key(
    app: App, key_id: str, keep_hours: int | None, ends_at: datetime | None
) -> Call[NewAppKey]:
    """Make a key in the place of another; a repeat as of `create_key`."""
    kept = {} if keep_hours is None else {"keepHours": keep_hours}
    return Call(
        method="POST",
        path=f"{app_path(app)}/keys/{name_segment(key_id)}/rotate",
        json=kept | _end(ends_at),
        parse=_new_key,
    )


def revoke_key(app: App, key_id: str) -> Call[AppKey]:
    """End a key."""
    return Call(
        method="DELETE",
        path=f"{app_path(app)}/keys/{name_segment(key_id)}",
        parse=lambda body: _key(json.loads(body)),
    )


def rename_app(app: App, name: str) -> Call[App]:
    """Give an app another name."""
    return Call(
        method="PATCH",
        path=app_path(app),
        json={"name": name},
        parse=lambda body: read_app(json.loads(body)),
    )


def set_retention(app: App, days: int | None) -> Call[App]:
    """Keep so many days of an app's history from now on; None keeps all."""
    return Call(
        method="PUT",
        path=f"{app_path(app)}/retention",
        json={"days": days},
        parse=lambda body: read_app(json.loads(body)),
    )


def delete_app(app: App, confirm: str) -> Call[int]:
    """Delete an app; how many of its tasks must end before its data is gone."""
    return Call(
        method="DELETE",
        path=app_path(app),
        query=(("confirm", confirm),),
        parse=lambda body: int(json.loads(body)["unfinished"]),
    )


def list_changes(app: App, before: int | None) -> Call[list[RecordedChange]]:
    """A page of the changes of an app, the newest first."""
    return Call(
        method="GET",
        path=f"{app_path(app)}/auditLog",
        query=() if before is None else (("before", str(before)),),
        parse=lambda body: [_change(item) for item in json.loads(body)["value"]],
    )


def _end(ends_at: datetime | None) -> dict[str, Any]:
    return {} if ends_at is None else {"endsAt": format_rfc3339(ends_at)}


def _new_key(body: bytes) -> NewAppKey:
    content = json.loads(body)
    return NewAppKey(key=_key(content), app_key=str(content["appKey"]))


def _key(content: Mapping[str, Any]) -> AppKey:
    def instant(name: str) -> datetime | None:
        return None if content.get(name) is None else parse_rfc3339(content[name])

    return AppKey(
        key_id=str(content["id"]),
        name=str(content["name"]),
        created_at=parse_rfc3339(content["createdAt"]),
        ends_at=instant("endsAt"),
        revoked_at=instant("revokedAt"),
        last_used_at=instant("lastUsedAt"),
    )


def _change(content: Mapping[str, Any]) -> RecordedChange:
    return RecordedChange(
        position=int(content["position"]),
        change=Change(
            changed_at=parse_rfc3339(content["changedAt"]),
            actor=str(content["actor"]),
            action=Action(content["action"]),
            app_id=content.get("appId"),
            subject=str(content["subject"]),
        ),
    )
