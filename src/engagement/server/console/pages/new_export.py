"""The page that makes an export: what, in which form, where to; tried before it is made."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import BadInputError, EngagementError
from engagement.model.access import Role
from engagement.model.apps import App
from engagement.model.export_options import OPTIONS, request_of
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
)
from engagement.model.option_kinds import Numbers, Switch, Texts
from engagement.model.records import new_guid
from engagement.operations.previews import ContainerCheck
from engagement.server.console.commands import call_of, command_of
from engagement.server.console.forms import FormErrors
from engagement.server.console.visits import PageVisit, redirect

SEALED_LIFE = timedelta(hours=1)
"""So long a form keeps the URL that was typed into it."""
SWITCHES = tuple(name for name, option in OPTIONS.items() if isinstance(option.kind, Switch))
RANGE = frozenset({"start", "end", "time_axis"})
"""What is left out for types that take no range, as the form says beside it."""
RANGED = frozenset(kind for kind in ExportType if kind.is_historical or kind is ExportType.PUSH)
LABELS = {name: name.replace("_", " ").capitalize() for name in OPTIONS} | {
    "container_url": "Container URL",
    "export_type": "Type",
    "start": "From",
    "end": "To",
}


def choose_app(visit: PageVisit) -> Response:
    """Return the choice of the app to export from, or go on if there is but one."""
    apps = [app for app in visit.visible_apps() if visit.caller.may(Role.EXPORTER, app)]
    if len(apps) == 1:
        return redirect(f"/console/apps/{apps[0].app_id}/exports/new")
    return visit.render("choose_app.html", apps=apps)


def show(visit: PageVisit) -> Response:
    """Return the empty form; what is in the query is filled in."""
    app = visit.app(visit.name("app_id"), Role.EXPORTER)
    today = visit.now.date()
    form = {
        "export_type": visit.query.get("type", ExportType.EVENT.value),
        "export_format": ExportFormat.NDJSON.value,
        "compression": Compression.GZIP.value,
        "time_axis": TimeAxis.EVENT.value,
        "start": visit.query.get("from", (today - timedelta(days=7)).isoformat()),
        "end": visit.query.get("to", (today - timedelta(days=1)).isoformat()),
        "empty_file": "on",
    }
    return _render(visit, app, form)


def submit(visit: PageVisit) -> Response:
    """Try what the form says, or make the export."""
    app = visit.app(visit.name("app_id"), Role.EXPORTER)
    form = {name: values[0] for name, values in visit.form.items() if name != "container_url"}
    errors = FormErrors()
    container_url = visit.field("container_url") or _open_sealed(visit)
    request = _read_request(visit, app, errors)
    is_creation = visit.field("action") == "create"
    if is_creation and not container_url:
        errors.add("container_url", "A container URL is needed to create the export.")
    if request is None or errors:
        return _render(visit, app, form, errors=errors, container_url=container_url)
    if not is_creation:
        return _try_out(visit, app, form, request, container_url)
    try:
        task = operations.create_export(
            visit.runtime,
            replace(request, container_url=container_url),
            idempotency_key=visit.field("idempotency_key") or None,
        )
    except EngagementError as error:
        is_about_url = not isinstance(error, BadInputError) or "URL" in str(error)
        errors.add("container_url" if is_about_url else "", str(error))
        return _render(
            visit, app, form, errors=errors, request=request, container_url=container_url
        )
    return redirect(f"/console/exports/{task.task_id}")


def _try_out(
    visit: PageVisit, app: App, form: dict[str, str], request: ExportRequest, container_url: str
) -> Response:
    """Return the form with an estimate, a test of the container and the first rows."""
    checks = operations.check_container(visit.runtime, container_url) if container_url else []
    return _render(
        visit,
        app,
        form,
        request=request,
        container_url=container_url,
        checks=checks,
        estimate=operations.estimate_export(visit.runtime, request),
        preview=operations.preview_export(visit.runtime, request),
    )


def _render(  # noqa: PLR0913 - what the page shows besides the form
    visit: PageVisit,
    app: App,
    form: dict[str, str],
    *,
    errors: FormErrors | None = None,
    request: ExportRequest | None = None,
    container_url: str = "",
    checks: Sequence[ContainerCheck] = (),
    estimate: Any = None,
    preview: str | None = None,
) -> Response:
    return visit.render(
        "new_export.html",
        status=422 if errors else 200,
        app=app,
        form=form,
        errors=errors or FormErrors(),
        labels=LABELS,
        options=OPTIONS,
        switches=SWITCHES,
        types=ExportType,
        ranged=[kind.value for kind in ExportType if kind in RANGED],
        formats=ExportFormat,
        compressions=Compression,
        campaign_types=CampaignType,
        axes=TimeAxis,
        command=command_of(request) if request else None,
        call=call_of(app, request) if request else None,
        sealed=_seal(visit, container_url) if container_url else "",
        idempotency_key=form.get("idempotency_key") or new_guid(),
        checks=checks,
        estimate=estimate,
        preview=preview,
    )


def _read_request(visit: PageVisit, app: App, errors: FormErrors) -> ExportRequest | None:
    """Return what the form asks for; what cannot be is said beside its field."""
    values: dict[str, object] = {}
    for name, option in OPTIONS.items():
        value = _read_value(visit, name)
        if value is None:
            continue
        try:
            option.kind.read(LABELS[name].lower(), value)
        except EngagementError as error:
            errors.add(name, str(error))
        values[name] = value
    if errors:
        return None
    if visit.field("export_type") not in set(ExportType):
        errors.add("export_type", "The type must be one of the list.")
        return None
    try:
        return request_of(app.app_id, visit.field("export_type"), "", values)
    except EngagementError as error:
        errors.add("", str(error))
        return None


def _read_value(visit: PageVisit, name: str) -> object | None:
    """Return what was typed for an option, as the option takes it; None if nothing."""
    kind, text = OPTIONS[name].kind, visit.field(name)
    if isinstance(kind, Switch):
        return bool(text) or (None if name == "include_record_id" else False)
    if not text or (name in RANGE and visit.field("export_type") not in RANGED):
        return None
    if isinstance(kind, Texts):
        return [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]
    if isinstance(kind, Numbers):
        words = text.replace(",", " ").split()
        return [int(word) if word.isascii() and word.isdigit() else word for word in words]
    return text


def _seal(visit: PageVisit, container_url: str) -> str:
    """Return the URL as the form keeps it: encrypted, for this session, for a while."""
    ends_at = int((visit.now + SEALED_LIFE).timestamp())
    sealed = visit.runtime.vault.seal(f"{ends_at} {container_url}", context=_context(visit))
    return base64.urlsafe_b64encode(sealed).decode()


def _open_sealed(visit: PageVisit) -> str:
    """Return the URL that the form kept; empty if it kept none, or for too long."""
    try:
        sealed = base64.urlsafe_b64decode(visit.field("sealed").encode())
        text = visit.runtime.vault.open(sealed, context=_context(visit))
    except (EngagementError, binascii.Error, ValueError):
        return ""
    ends_at, _, container_url = text.partition(" ")
    return container_url if visit.now.timestamp() < int(ends_at) else ""


def _context(visit: PageVisit) -> str:
    return f"console form of {visit.session.session_id}"
