"""Fills an app so that each page of the console has something to show of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engagement import operations
from engagement.model.apps import App
from engagement.model.exports import ExportState
from engagement.model.instants import format_rfc3339
from engagement.model.records import Kind
from engagement.model.refused import RefusedFilter
from engagement.runtime.opening import Runtime
from engagement.server.console.router import PREFIX, PageRoute
from support.batches import batch, log
from support.console import Visitor
from support.server_process import RunningServer
from support.waiting import wait_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An app of which each page has something to show."""

    app: App
    app_key: str = field(repr=False)
    values: dict[str, str]
    """What stands in paths for their parameters."""

    def path(self, route: PageRoute | str) -> str:
        """A route's path, about this app."""
        template = route if isinstance(route, str) else route.path
        return PREFIX + template.format(**self.values)


def fill(  # noqa: PLR0913 - where, by whom, and what
    server: RunningServer,
    beside: Runtime,
    visitor: Visitor,
    texts: list[str],
    *,
    name: str,
    place: str,
) -> Place:
    """An app whose every word is one of the texts."""
    subscription = {"collection": "c", "resource_group": "g", "subscription": place}
    made = operations.create_app(beside, name=name, **subscription)
    app_id = made.app.app_id
    names = [text for text in texts if text.isprintable() and len(text) <= 64]
    keys = [operations.create_key(beside, app_id, name=text).key for text in names]
    now = datetime.now(UTC)
    with server.http() as http:
        for number, text in enumerate(texts):
            at = format_rfc3339(now)
            event = log("event", timestamp=at, extras={"n": text}) | {"name": text}
            body = batch(
                *(event, log("crash", timestamp=at, stack=text) | {"name": text}),
                event | {"extras": {text: text}},
                log("tags", timestamp=at, tags={"plan": text}),
                log("token", timestamp=at, tokenType="GCM") | {"token": text},
                log("event", timestamp=text),
                device=f"{number:032x}",
                sent_at=now,
                userId=text,
                info={"applicationVersionName": text, "phoneModel": text, "firmwareName": text},
                location={"region": text},
            )
            answer = http.post(
                "/collect/v1/batch",
                content=body,
                headers={"Authorization": f"Bearer {made.app_key}"},
            )
            assert answer.status_code in {202, 400}, answer.text
    wait_for(
        lambda: {Kind.EVENT, Kind.DEVICE} <= beside.inbox.last_commits(app_id).keys(),
        "records in the lake",
    )
    refused = operations.list_refused(beside, RefusedFilter(app_id=app_id), limit=1)
    task_id = export_tags(server, visitor, app_id, description=texts[0])
    wait_for(
        lambda: operations.get_export(beside, task_id).state is ExportState.SUCCEEDED,
        "an export that succeeded",
    )
    values = {
        "app_id": app_id,
        "task_id": task_id,
        "key_id": keys[0].key_id if keys else "0" * 16,
        "refused_id": str(refused[0].refused_id),
        "deviceId": f"{0:032x}",
        "client_id": "unknown",
        "session_id": "unknown",
    }
    return Place(app=made.app, app_key=made.app_key, values=values)


def export_tags(server: RunningServer, visitor: Visitor, app_id: str, *, description: str) -> str:
    """The id of a new export."""
    folder = Path(server.environment["ENGAGEMENT_LOCAL_ROOTS"]) / app_id
    folder.mkdir()
    fields = {
        "action": "create",
        "export_type": "Tag",
        "export_format": "JsonBlob",
        "description": description,
        "container_url": folder.as_uri(),
    }
    answer = visitor.post(f"{PREFIX}/apps/{app_id}/exports/new", "new-export", fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]
