"""A device of an app: found by its id, its user or its token, looked at, erased."""

from urllib.parse import quote

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.access import Role
from engagement.server.console.downloads import answer_download, download_format
from engagement.server.console.forms import FormErrors
from engagement.server.console.visits import PageVisit, redirect

COLUMNS = ("at", "kind", "name", "end", "extras", "received_at")
FINDERS = {
    "user": operations.get_device_by_user,
    "token": operations.get_device_by_token,
}


def find(visit: PageVisit) -> Response:
    """Return the form that finds a device, or go to the one that it found."""
    app = visit.app(visit.name("app_id"))
    wanted, by = visit.query.get("wanted", "").strip(), visit.query.get("by", "device")
    errors = FormErrors()
    if wanted:
        look = FINDERS.get(by, operations.get_device)
        try:
            found = look(visit.runtime, app.app_id, wanted)
        except EngagementError as error:
            errors.add("wanted", str(error))
        else:
            return redirect(f"/console/apps/{app.app_id}/devices/{quote(found.device_id)}")
    return visit.render(
        "devices.html", status=404 if errors else 200, app=app, wanted=wanted, by=by, errors=errors
    )


def show(visit: PageVisit) -> Response:
    """Return what is known of a device."""
    app = visit.app(visit.name("app_id"))
    device = operations.get_device(visit.runtime, app.app_id, visit.name("deviceId"))
    history = operations.read_device_history(
        visit.runtime, app.app_id, device.device_id, before=visit.query.get("before") or None
    )
    if download_format(visit):
        rows = [{name: getattr(record, name) for name in COLUMNS} for record in history.records]
        return answer_download(visit, f"device-{device.device_id}", COLUMNS, rows)
    return visit.render(
        "device.html",
        app=app,
        device=device,
        history=history,
        tokens=operations.list_device_tokens(visit.runtime, app.app_id, device.device_id),
        is_owner=visit.caller.may(Role.OWNER, app),
        may_export=visit.caller.may(Role.EXPORTER, app),
    )


def ask_to_erase(visit: PageVisit) -> Response:
    """Return what an erasure takes out, and the field that confirms it."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    device = operations.get_device(visit.runtime, app.app_id, visit.name("deviceId"))
    return visit.render("erase_device.html", app=app, device=device, errors=FormErrors())


def erase(visit: PageVisit) -> Response:
    """Erase a device whose id was typed."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    device = operations.get_device(visit.runtime, app.app_id, visit.name("deviceId"))
    if visit.field("confirmation") != device.device_id:
        errors = FormErrors({"confirmation": "Type the whole id of the device."})
        return visit.render("erase_device.html", status=422, app=app, device=device, errors=errors)
    arguments = {"app_id": app.app_id, "device_id": device.device_id}
    report = operations.request_upkeep(visit.runtime, "erase", arguments)
    return visit.render("erased_device.html", app=app, device=device, report=report)
