"""The list of exports, and what each was asked, did and needs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    UnknownAppError,
    UnknownTaskError,
)
from engagement.model.access import Role
from engagement.model.apps import App
from engagement.model.export_lists import ExportFilter
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState, ExportType, TimeRange
from engagement.model.option_kinds import read_day_or_instant, write_instant
from engagement.server.console.commands import command_of
from engagement.server.console.downloads import ROWS_MAX, answer_download, download_format
from engagement.server.console.export_values import describe_progress
from engagement.server.console.forms import FormErrors
from engagement.server.console.pages.export_advice import advice_on
from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.topics import EXPORT_TOPIC
from engagement.server.console.visits import PageVisit, redirect

PAGE_ROWS = 50
COLUMNS = (
    *("task_id", "app", "type", "range_start", "range_end", "format", "compression", "state"),
    *("created_at", "started_at", "completed_at", "rows", "parts", "bytes", "container"),
    *("error_code", "error_details", "description"),
)
PART_COLUMNS = ("index", "rows_planned", "name", "rows", "bytes", "sha256")


def show_list(visit: PageVisit) -> Response:
    """Return a page of the exports that the person may see, newest first."""
    apps = {app.app_id: app for app in visit.visible_apps()}
    app_id = visit.request.path_params.get("app_id") or visit.query.get("app") or None
    app = visit.app(app_id) if app_id else None
    errors = FormErrors()
    chosen = _read_filter(visit, apps, app, errors)
    if download_format(visit):
        tasks = operations.find_exports(visit.runtime, chosen, limit=ROWS_MAX)
        return answer_download(visit, "exports", COLUMNS, [_row(task, apps) for task in tasks])
    before, after = visit.query.get("before"), visit.query.get("after")
    found = operations.find_exports(
        visit.runtime, chosen, limit=PAGE_ROWS, before=before, after=after
    )
    has_more = len(found) > PAGE_ROWS
    tasks = found[-PAGE_ROWS:] if after else found[:PAGE_ROWS]
    everything = ExportFilter(app_ids=chosen.app_ids)
    return visit.render(
        "exports.html",
        status=422 if errors else 200,
        app=app,
        apps=apps,
        errors=errors,
        tasks=tasks,
        values={task.task_id: describe_progress(task) for task in tasks},
        counts=operations.count_exports_by_state(visit.runtime, everything),
        states=ExportState,
        types=ExportType,
        may_create=any(visit.caller.may(Role.EXPORTER, item) for item in apps.values()),
        topics=",".join(
            f"{EXPORT_TOPIC}{task.task_id}" for task in tasks if not task.state.is_final
        ),
        newer=tasks[0].task_id if tasks and (before or (after and has_more)) else None,
        older=tasks[-1].task_id if tasks and (after or has_more) else None,
    )


def show_export(visit: PageVisit) -> Response:
    """Return what one export was asked, how far it is, and what to do if it failed."""
    task, app = find_task(visit)
    if download_format(visit):
        parts = operations.list_parts(visit.runtime, task.task_id)
        rows = [
            {"index": part.index, "rows_planned": part.rows_planned}
            | {name: getattr(part.receipt, name, None) for name in PART_COLUMNS[2:]}
            for part in parts
        ]
        return answer_download(visit, f"parts-{task.task_id}", PART_COLUMNS, rows)
    return _render(visit, task, app)


def show_manifest(visit: PageVisit) -> Response:
    """Return the manifest of an export that succeeded, byte by byte as it was delivered."""
    task, _ = find_task(visit)
    content = operations.export_manifest(visit.runtime, task.task_id)
    name = f'attachment; filename="manifest-{task.task_id}.json"'
    headers = PAGE_HEADERS | {"Content-Disposition": name}
    return Response(content, media_type="application/json", headers=headers)


def cancel(visit: PageVisit) -> Response:
    """Ask an export to stop."""
    task, app = find_task(visit, Role.EXPORTER)
    try:
        operations.cancel_export(visit.runtime, task.task_id)
    except EngagementError as error:
        return _render(visit, task, app, errors=FormErrors({"": str(error)}), status=409)
    return redirect(f"/console/exports/{task.task_id}")


def retry(visit: PageVisit) -> Response:
    """Go on with a failed or cancelled export with a container URL that works, or only test it."""
    task, app = find_task(visit, Role.EXPORTER)
    container_url = visit.field("container_url")
    if visit.field("action") == "test":
        checks = operations.check_container(visit.runtime, container_url)
        return _render(visit, task, app, checks=checks)
    try:
        operations.retry_export(visit.runtime, task.task_id, container_url=container_url)
    except EngagementError as error:
        errors = FormErrors({"container_url": str(error)})
        return _render(visit, task, app, errors=errors, status=422)
    return redirect(f"/console/exports/{task.task_id}")


def find_task(visit: PageVisit, role: Role = Role.READER) -> tuple[ExportTask, App]:
    """Return the task of the path with its app, for somebody with a role.

    Raises:
        UnknownTaskError: There is none, or it is of an app out of the person's scope.
        ForbiddenError: The person may see it, but not do this.
    """
    task_id = visit.name("task_id")
    task = operations.get_export(visit.runtime, task_id)
    try:
        return task, visit.app(task.app_id, role)
    except UnknownAppError as error:
        raise UnknownTaskError(f"No export task has the id {task_id!r}.") from error


def _render(  # noqa: PLR0913 - what the page shows besides the task
    visit: PageVisit,
    task: ExportTask,
    app: App,
    *,
    errors: FormErrors | None = None,
    checks: Sequence[Any] = (),
    status: int = 200,
) -> Response:
    parts = operations.list_parts(visit.runtime, task.task_id)
    first = _first_part(visit)
    return visit.render(
        "export.html",
        status=status,
        task=task,
        app=app,
        advice=advice_on(task),
        values=describe_progress(task),
        parts=parts[first : first + PAGE_ROWS],
        first=first,
        parts_count=len(parts),
        page_rows=PAGE_ROWS,
        command=command_of(task.request),
        may_act=visit.caller.may(Role.EXPORTER, app),
        errors=errors or FormErrors(),
        checks=checks,
        topic=f"{EXPORT_TOPIC}{task.task_id}",
    )


def _first_part(visit: PageVisit) -> int:
    given = visit.query.get("from_part", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0  # noqa: PLR2004 - a plan has fewer parts


def _read_filter(
    visit: PageVisit, apps: Mapping[str, App], app: App | None, errors: FormErrors
) -> ExportFilter:
    everywhere = visit.may_everywhere(Role.READER)
    state, kind = visit.query.get("state"), visit.query.get("type")
    return ExportFilter(
        app_ids=(app.app_id,) if app else None if everywhere else tuple(apps),
        states=(ExportState(state),) if state in set(ExportState) else (),
        types=(ExportType(kind),) if kind in set(ExportType) else (),
        created_from=_read_instant(visit, "from", errors),
        created_before=_read_instant(visit, "to", errors),
    )


def _read_instant(visit: PageVisit, name: str, errors: FormErrors) -> datetime | None:
    """A day means its first instant; of the last day, the first instant after it."""
    text = visit.query.get(name, "").strip()
    if not text:
        return None
    try:
        found = read_day_or_instant(name, text)
        if isinstance(found, datetime):
            return found
        day = TimeRange.of_days(found, found)
    except BadInputError as error:
        errors.add(name, str(error))
        return None
    return day.end if name == "to" else day.start


def _row(task: ExportTask, apps: Mapping[str, App]) -> dict[str, object]:
    """A task as a row of a table that is downloaded."""
    span, app = task.request.time_range, apps.get(task.app_id)
    instants = (task.created_at, task.started_at, task.completed_at)
    texts = [None if at is None else write_instant(at) for at in instants]
    progress = task.progress
    values = (
        *(task.task_id, app.name if app else task.app_id, task.export_type.value),
        *((span.start.isoformat(), span.end.isoformat()) if span else (None, None)),
        *(task.export_format.value, task.compression.value, task.state.value),
        *texts,
        *(progress.rows_done, progress.parts_done, progress.bytes_done, task.container),
        *(task.error_code, task.error_details, task.description),
    )
    return dict(zip(COLUMNS, values, strict=True))
