"""The keys that devices of an app write with: made, exchanged, revoked."""

from datetime import datetime, timedelta

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.access import Role
from engagement.model.apps import App, NewAppKey
from engagement.server.console.forms import FormErrors, read_days, read_number
from engagement.server.console.visits import PageVisit, redirect

KEEP_DIGITS_MAX = 4
KEEP_DAYS_DEFAULT = operations.KEEP_HOURS_DEFAULT // 24


def show(visit: PageVisit) -> Response:
    """Return the keys of an app."""
    return _render(visit, visit.app(visit.name("app_id"), Role.OWNER), FormErrors())


def create(visit: PageVisit) -> Response:
    """Make a further key, and show it this once."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    errors = FormErrors()
    ends_at = _read_end(visit, errors)
    if errors:
        return _render(visit, app, errors)
    try:
        made = operations.create_key(
            visit.runtime, app.app_id, name=visit.field("name"), ends_at=ends_at
        )
    except EngagementError as error:
        return _render(visit, app, FormErrors({"name": str(error)}))
    return _show_secret(visit, app, made, "It works from now on; the others go on.")


def rotate(visit: PageVisit) -> Response:
    """Make a key in place of another, which goes on for the chosen days."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    days = read_number(visit.field("keep_days"), digits_max=KEEP_DIGITS_MAX)
    if days is None:
        return _render(visit, app, FormErrors({"": "The days must be a whole number."}))
    try:
        made = operations.rotate_key(
            visit.runtime, app.app_id, visit.name("key_id"), keep_hours=24 * days
        )
    except EngagementError as error:
        return _render(visit, app, FormErrors({"": str(error)}))
    return _show_secret(visit, app, made, f"The old key goes on for {days:,} days.")


def revoke(visit: PageVisit) -> Response:
    """End a key."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    try:
        operations.revoke_key(visit.runtime, app.app_id, visit.name("key_id"))
    except EngagementError as error:
        return _render(visit, app, FormErrors({"": str(error)}))
    return redirect(f"/console/apps/{app.app_id}/keys")


def _render(visit: PageVisit, app: App, errors: FormErrors) -> Response:
    keys = operations.list_keys(visit.runtime, app.app_id)
    return visit.render(
        "keys.html",
        status=422 if errors else 200,
        app=app,
        keys=keys,
        errors=errors,
        form={"name": visit.field("name"), "days": visit.field("days")},
        keep_days=KEEP_DAYS_DEFAULT,
    )


def _show_secret(visit: PageVisit, app: App, made: NewAppKey, hint: str) -> Response:
    return visit.render(
        "secret.html",
        title=f"The key {made.key.name}",
        what="Key",
        secret=made.app_key,
        hint=f"It is shown this once. {hint}",
        back=f"/console/apps/{app.app_id}/keys",
        back_name="I have stored it",
    )


def _read_end(visit: PageVisit, errors: FormErrors) -> datetime | None:
    days = read_days(visit.field("days"), errors)
    return None if days is None else visit.now + timedelta(days=days)
