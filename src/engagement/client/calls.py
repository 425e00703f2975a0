"""Describes every request of the client and reads its answer, without sending any."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from engagement.error_codes import code_of_failure
from engagement.exceptions import BadInputError
from engagement.model.apps import PROVIDER, App
from engagement.model.export_options import body_of, create_word, request_of_body
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask, TaskPage
from engagement.model.exports import Estimate, ExportState, ExportType, Progress
from engagement.model.instants import parse_rfc3339
from engagement.model.manifest import Manifest, parse_manifest

API_VERSION = "2026-11-01"
_APP_PATH = re.compile(
    rf"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/{re.escape(PROVIDER)}"
    r"/appcollections/([^/]+)/apps/([^/]+)/?",
    re.IGNORECASE,
)

Result = TypeVar("Result")
Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Result]):
    """A part of a list."""

    items: list[Result]
    """What it shows."""
    next_query: Query | None
    """The query of the page after it; None if it is the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """One request to the server and how its answer is read. Each may be repeated without harm."""

    method: str
    """GET, POST, PUT, PATCH or DELETE."""
    path: str
    """Below the server's address."""
    parse: Callable[[bytes], Result]
    """The body of a success as a value; a body that is none raises anything but our errors."""
    query: Query = ()
    """Besides the version."""
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    """The body; it may hold a container URL, which is a secret."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides what all calls have."""
    proof: "Proof[Result] | None" = None
    """Where a repeat is refused because the first try worked and its answer was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof(Generic[Result]):
    """How to find out that a call was carried out."""

    look: Call[Result]
    """What to look at."""
    holds: Callable[[Result], bool]
    """Whether it shows that the call was carried out."""


def list_collections(subscription: str) -> Call[list[str]]:
    """The resource paths of a subscription's app collections."""
    path = f"/subscriptions/{name_segment(subscription)}/providers/{PROVIDER}/appCollections"
    return Call(
        method="GET", path=path, parse=lambda body: [_text(item["id"]) for item in _values(body)]
    )


def list_apps(collection_path: str) -> Call[list[App]]:
    """The apps of a collection."""
    path = quote(collection_path, safe="/") + "/apps"
    return Call(
        method="GET", path=path, parse=lambda body: [read_app(item) for item in _values(body)]
    )


def create_export(app: App, request: ExportRequest, *, idempotency_key: str) -> Call[ExportTask]:
    """Create a task; a repeat of the same call gives the same task."""
    return Call(
        method="POST",
        path=_create_path(app, request),
        json=_create_body(request),
        headers={"Idempotency-Key": idempotency_key},
        parse=_task_of(app),
    )


def estimate_export(app: App, request: ExportRequest) -> Call[Estimate]:
    """Say how large an export would be; creates nothing."""
    return Call(
        method="POST",
        path=_create_path(app, request),
        query=(("dryRun", "true"),),
        json=_create_body(request),
        parse=_estimate,
    )


def get_export(app: App, task_id: str) -> Call[ExportTask]:
    """A task."""
    return Call(method="GET", path=_task_path(app, task_id), parse=_task_of(app))


def list_exports(app: App, page: TaskPage) -> Call[Page[ExportTask]]:
    """A page of an app's tasks."""
    direction = "desc" if page.descending else "asc"
    query = (
        ("$skip", str(page.skip)),
        ("$top", str(page.top)),
        ("$orderby", f"{page.order_by.value} {direction}"),
    )
    return list_exports_after(app, query)


def list_exports_after(app: App, query: Query) -> Call[Page[ExportTask]]:
    """The page that a page before it names."""
    return Call(method="GET", path=_tasks(app), query=query, parse=_page_of(app))


def cancel_export(app: App, task_id: str) -> Call[ExportTask]:
    """Cancel a task."""
    return Call(
        method="POST",
        path=f"{_task_path(app, task_id)}/cancel",
        parse=_task_of(app),
        proof=Proof(
            look=get_export(app, task_id),
            holds=lambda task: task.state is ExportState.CANCELLED,
        ),
    )


def retry_export(app: App, task_id: str, container_url: str) -> Call[ExportTask]:
    """Run a failed or cancelled task again."""
    ended_badly = {ExportState.FAILED, ExportState.CANCELLED}
    return Call(
        method="POST",
        path=f"{_task_path(app, task_id)}/retry",
        json={"containerUrl": container_url},
        parse=_task_of(app),
        proof=Proof(
            look=get_export(app, task_id),
            holds=lambda task: task.attempt > 1 and task.state not in ended_badly,
        ),
    )


def get_manifest(app: App, task_id: str) -> Call[Manifest]:
    """The manifest of a task that succeeded."""
    return Call(method="GET", path=f"{_task_path(app, task_id)}/manifest", parse=parse_manifest)


def app_names(resource_path: str) -> tuple[str, str, str, str]:
    """Subscription, resource group, collection and app of a resource path.

    Raises:
        BadInputError: It is not the resource path of an app.
    """
    found = _APP_PATH.fullmatch(resource_path)
    if found is None:
        raise BadInputError(
            "An app must be given by its id or by a resource path like "
            f"/subscriptions/NAME/resourceGroups/NAME/providers/{PROVIDER}"
            f"/appcollections/NAME/apps/NAME, got {resource_path[:200]!r}."
        )
    subscription, resource_group, collection, name = found.groups()
    return subscription, resource_group, collection, name


def _create_path(app: App, request: ExportRequest) -> str:
    word = create_word(request.export_type, by_campaign=bool(request.campaign_ids))
    return f"{_tasks(app)}/{word}"


def _create_body(request: ExportRequest) -> dict[str, Any]:
    """What is asked, as the body of a create or an estimate."""
    return {"containerUrl": request.container_url, **body_of(request)}


def app_path(app: App) -> str:
    """The path of an app, as it stands in an address."""
    return quote(app.resource_path, safe="/")


def _tasks(app: App) -> str:
    return app_path(app) + "/devices/exportTasks"


def _task_path(app: App, task_id: str) -> str:
    return f"{_tasks(app)}/{name_segment(task_id)}"


def name_segment(text: str) -> str:
    """A name as one segment of a path; dots alone would lead to another path.

    Raises:
        BadInputError: It is nothing but dots.
    """
    if text in {"", ".", ".."}:
        raise BadInputError(f"An id or name must be more than dots, got {text!r}.")
    return quote(text, safe="")


def _values(body: bytes) -> list[dict[str, Any]]:
    content = json.loads(body)
    if content.get("nextLink"):
        raise ValueError("a list of resources has more than one page")
    return list(content["value"])


def read_app(content: dict[str, Any]) -> App:
    """The app of an answer."""
    subscription, resource_group, collection, name = app_names(_text(content["id"]))
    properties = content["properties"]
    days = properties.get("retentionDays")
    return App(
        app_id=_text(properties["backendId"]),
        name=name,
        collection=collection,
        resource_group=resource_group,
        subscription=subscription,
        retention_days=None if days is None else int(days),
    )


def _task_of(app: App) -> Callable[[bytes], ExportTask]:
    return lambda body: _task(app, json.loads(body))


def _page_of(app: App) -> Callable[[bytes], Page[ExportTask]]:
    def parse(body: bytes) -> Page[ExportTask]:
        content = json.loads(body)
        link = content.get("nextLink")
        return Page(
            items=[_task(app, item) for item in content["value"]],
            # Only the query is followed: the token never goes where an answer points to.
            next_query=None if link is None else _query_of(_text(link)),
        )

    return parse


def _query_of(link: str) -> Query:
    pairs = parse_qsl(urlsplit(link).query, strict_parsing=True)
    return tuple((name, value) for name, value in pairs if name != "api-version")


def _task(app: App, content: dict[str, Any]) -> ExportTask:
    code = content.get("errorCode")
    return ExportTask(
        task_id=_text(content["id"]),
        request=_request(app, content),
        state=ExportState(content["state"]),
        container=_text(content["container"]),
        folder=_text(content["folder"]),
        created_at=parse_rfc3339(content["dateCreated"]),
        started_at=_instant(content.get("dateStarted")),
        completed_at=_instant(content.get("dateCompleted")),
        error_code=None if code is None else code_of_failure(code),
        error_details=content.get("errorDetails"),
        progress=_progress(content["progress"]),
        attempt=int(content["attempt"]),
    )


def _request(app: App, content: dict[str, Any]) -> ExportRequest:
    """What was asked; that it cannot be is the answer's fault, not the caller's."""
    named = {name: content[name] for name in ("exportType", "exportFormat", "compression")}
    try:
        return request_of_body(
            app.app_id,
            ExportType(named["exportType"]),
            content | named,
            published_contract=content.get("publishedContract", False),
        )
    except BadInputError as error:
        raise ValueError(f"a task of a request that cannot be: {error}") from error


def _progress(content: dict[str, Any]) -> Progress:
    return Progress(
        parts_total=int(content["partsTotal"]),
        parts_done=int(content["partsDone"]),
        rows_total=int(content["rowsTotal"]),
        rows_done=int(content["rowsDone"]),
        bytes_done=int(content["bytesDone"]),
        rows_per_second=content.get("rowsPerSecond"),
        seconds_left=content.get("secondsLeft"),
    )


def _estimate(body: bytes) -> Estimate:
    content = json.loads(body)
    size = content.get("bytes")
    return Estimate(
        rows=int(content["rows"]),
        parts=int(content["parts"]),
        bytes=None if size is None else int(size),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wanted a text, got {type(value).__name__}")
    return value
