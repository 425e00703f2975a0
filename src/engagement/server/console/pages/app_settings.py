"""What an app is called, how long its history is kept, and its end."""

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.access import Role
from engagement.model.apps import App
from engagement.server.console.forms import FormErrors, read_days
from engagement.server.console.visits import PageVisit, redirect


def show(visit: PageVisit) -> Response:
    """Return the forms that change an app."""
    return _render(visit, visit.app(visit.name("app_id"), Role.OWNER), FormErrors())


def rename(visit: PageVisit) -> Response:
    """Give an app another name."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    try:
        operations.rename_app(visit.runtime, app.app_id, name=visit.field("name"))
    except EngagementError as error:
        return _render(visit, app, FormErrors({"name": str(error)}))
    return redirect(f"/console/apps/{app.app_id}/settings?done=renamed")


def set_retention(visit: PageVisit) -> Response:
    """Set how many days of an app's history are kept; all, if the field is empty."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    errors = FormErrors()
    days = read_days(visit.field("days"), errors)
    if not errors:
        try:
            operations.set_retention(visit.runtime, app.app_id, days)
        except EngagementError as error:
            errors.add("days", str(error))
    if errors:
        return _render(visit, app, errors)
    return redirect(f"/console/apps/{app.app_id}/settings?done=kept")


def ask_to_delete(visit: PageVisit) -> Response:
    """Return what a deletion takes out, and the field that confirms it."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    return _render_deletion(visit, app, FormErrors())


def delete(visit: PageVisit) -> Response:
    """Delete an app whose name was typed, with all its data."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    # A name may begin or end with a blank, which a person would hardly type.
    if visit.field("confirmation") != app.name.strip():
        errors = FormErrors({"confirmation": f"Type the name of the app, {app.name!r}."})
        return _render_deletion(visit, app, errors)
    report = operations.delete_app(visit.runtime, app.app_id, confirm=app.name)
    return visit.render("deleted_app.html", app=app, report=report)


def _render(visit: PageVisit, app: App, errors: FormErrors) -> Response:
    kept = "" if app.retention_days is None else str(app.retention_days)
    return visit.render(
        "app_settings.html",
        status=422 if errors else 200,
        app=app,
        errors=errors,
        form={
            "name": visit.field("name") if "name" in visit.form else app.name,
            "days": visit.field("days") if "days" in visit.form else kept,
        },
    )


def _render_deletion(visit: PageVisit, app: App, errors: FormErrors) -> Response:
    return visit.render("delete_app.html", status=422 if errors else 200, app=app, errors=errors)
