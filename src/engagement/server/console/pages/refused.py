"""The records of an app that were refused: why, what they were, and another try."""

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import UnknownRefusedRecordError
from engagement.model.access import Role
from engagement.model.apps import App
from engagement.model.refused import RefusedFilter, RefusedRecord
from engagement.server.console.downloads import ROWS_MAX, answer_download, download_format
from engagement.server.console.forms import ID_DIGITS_MAX, read_number
from engagement.server.console.visits import PageVisit, redirect

PAGE_ROWS = 50
BODY_CHARACTERS_MAX = 20_000
COLUMNS = ("refused_id", "received_at", "protocol", "batch_id", "code", "message")


def show_list(visit: PageVisit) -> Response:
    """Return the refused records of an app, newest first, and how many there are by reason."""
    app = visit.app(visit.name("app_id"))
    chosen = RefusedFilter(app_id=app.app_id, code=visit.query.get("code") or None)
    entries = operations.list_refused(
        visit.runtime,
        chosen,
        limit=ROWS_MAX if download_format(visit) else PAGE_ROWS + 1,
        before=read_number(visit.query.get("before", ""), digits_max=ID_DIGITS_MAX),
    )
    if download_format(visit):
        rows = [{name: getattr(entry, name) for name in COLUMNS} for entry in entries]
        return answer_download(visit, "refused", COLUMNS, rows)
    counts = operations.count_refused(visit.runtime, RefusedFilter(app_id=app.app_id))
    return visit.render(
        "refused.html",
        app=app,
        entries=entries[:PAGE_ROWS],
        older=entries[PAGE_ROWS - 1].refused_id if len(entries) > PAGE_ROWS else None,
        counts=counts,
        is_owner=visit.caller.may(Role.OWNER, app),
    )


def show(visit: PageVisit) -> Response:
    """Return a refused record as it was sent."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    record = _find(visit, app)
    body = record.body[:BODY_CHARACTERS_MAX].decode("utf-8", "replace")
    return visit.render("refused_record.html", app=app, record=record, body=body)


def replay(visit: PageVisit) -> Response:
    """Try a refused record again, or all of a reason, as if they had just come."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    summary = operations.replay_refused(visit.runtime, _read_choice(visit, app))
    return redirect(
        f"/console/apps/{app.app_id}/refused"
        f"?replayed={summary.replayed}&kept={sum(summary.refused.values())}"
    )


def drop(visit: PageVisit) -> Response:
    """Forget a refused record for good."""
    app = visit.app(visit.name("app_id"), Role.OWNER)
    dropped = operations.drop_refused(visit.runtime, _read_choice(visit, app))
    return redirect(f"/console/apps/{app.app_id}/refused?dropped={dropped}")


def _read_choice(visit: PageVisit, app: App) -> RefusedFilter:
    """Which records a form is about: one, or all of a reason."""
    if visit.field("refused_id"):
        return RefusedFilter(app_id=app.app_id, refused_ids=(_find(visit, app).refused_id,))
    return RefusedFilter(app_id=app.app_id, code=visit.field("code") or None)


def _find(visit: PageVisit, app: App) -> RefusedRecord:
    given = visit.request.path_params.get("refused_id") or visit.field("refused_id")
    refused_id = read_number(given, digits_max=ID_DIGITS_MAX)
    if refused_id is None:
        raise UnknownRefusedRecordError("There is no such refused record.")
    record = operations.get_refused(visit.runtime, refused_id)
    if record.app_id != app.app_id:
        raise UnknownRefusedRecordError("There is no such refused record.")
    return record
