"""The apps, and of one what arrives, day by day."""

import calendar
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta

from starlette.responses import JSONResponse, Response

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.access import Role
from engagement.model.points import ACCEPTED, REFUSED
from engagement.model.records import Kind
from engagement.model.refused import RefusedFilter
from engagement.server.console.charts import make_figure
from engagement.server.console.downloads import answer_download, download_format
from engagement.server.console.forms import FormErrors
from engagement.server.console.pages.overview import read_range
from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.snippets import write_snippets
from engagement.server.console.visits import PageVisit

HEAT_STEPS = 6
NEWEST_ROWS = 50
NAMES_DAYS = ("1", "7", "30", "90")
VERSION_COLUMNS = ("app_version", "system", "system_version", "devices")
RECORD_COLUMNS = ("kind", "name", "received_at", "at", "end", "device_id", "user_id", "extras")
COLUMNS = ("app_id", "name", "collection", "resource_group", "subscription")


def show_list(visit: PageVisit) -> Response:
    """Return the apps that the person may see."""
    apps = visit.visible_apps()
    if download_format(visit):
        rows = [{name: getattr(app, name) for name in COLUMNS} for app in apps]
        return answer_download(visit, "apps", COLUMNS, rows)
    return _render_list(visit, FormErrors())


def create(visit: PageVisit) -> Response:
    """Register an app, and show its first key this once."""
    if not visit.may_everywhere(Role.OWNER):
        return _render_list(visit, FormErrors({"": "Creating an app needs the role owner over /."}))
    try:
        made = operations.create_app(
            visit.runtime,
            name=visit.field("name"),
            collection=visit.field("collection"),
            resource_group=visit.field("resource_group"),
            subscription=visit.field("subscription"),
        )
    except EngagementError as error:
        return _render_list(visit, FormErrors({"name": str(error)}))
    return visit.render(
        "secret.html",
        title=f"The app {made.app.name} is registered",
        what="Its key, for its devices",
        secret=made.app_key,
        hint="Devices post with it; it is shown this once.",
        back=f"/console/apps/{made.app.app_id}",
        back_name="To the app",
    )


def show(visit: PageVisit) -> Response:
    """Return what arrives of an app, and each day of a month by kind."""
    app = visit.app(visit.name("app_id"))
    chosen = read_range(visit)
    pending = visit.console.context.points.read_pending()
    chart = operations.read_chart(visit.runtime, [app.app_id], ACCEPTED, chosen, pending=pending)
    figure = make_figure(
        chart, "received", "Records a minute, by kind", prefix=ACCEPTED, per_minute=True
    )
    if visit.query.get("part") == "live":
        content = {"charts": {figure.name: figure.data}, "numbers": {}}
        return JSONResponse(content, headers=PAGE_HEADERS)
    ever = operations.count_days(visit.runtime, app.app_id, first=date.min, last=date.max)
    first = _read_month(visit, _newest_day(visit, ever))
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    counts = {
        kind: Counter({day: rows for day, rows in found.items() if first <= day <= last})
        for kind, found in ever.items()
    }
    days = [first + timedelta(days=number) for number in range(last.day)]
    if download_format(visit):
        rows = [
            {"day": day.isoformat()} | {kind.value: found[day] for kind, found in counts.items()}
            for day in days
        ]
        return answer_download(visit, "days", ["day", *(kind.value for kind in counts)], rows)
    refused = operations.count_refused(visit.runtime, RefusedFilter(app_id=app.app_id))
    return visit.render(
        "app.html",
        app=app,
        month=first,
        previous=(first - timedelta(days=1)).replace(day=1),
        following=last + timedelta(days=1),
        days=days,
        counts=counts,
        steps=_heat(counts),
        figure=figure,
        has_charts=visit.console.static.has_charts,
        refused=sum(count.records for count in refused),
        refused_lately=operations.recent_sum(
            visit.runtime, [app.app_id], REFUSED, timedelta(hours=1)
        ),
        is_owner=visit.caller.may(Role.OWNER, app),
        chosen=chosen,
    )


def show_names(visit: PageVisit) -> Response:
    """Return the names that occur most of a kind."""
    app = visit.app(visit.name("app_id"))
    given, days = visit.query.get("kind", ""), visit.query.get("days", "")
    kind = Kind(given) if given in operations.NAMED_KINDS else Kind.EVENT
    ever = operations.count_days(visit.runtime, app.app_id, first=date.min, last=date.max)
    last = _newest_day(visit, ever)
    first = last - timedelta(days=int(days if days in NAMES_DAYS else NAMES_DAYS[1]) - 1)
    counts = operations.top_names(visit.runtime, app.app_id, kind, first=first, last=last)
    if download_format(visit):
        rows = [{"name": name, "records": times} for (name,), times in counts.rows]
        return answer_download(visit, "names", ("name", "records"), rows)
    return visit.render(
        "names.html",
        app=app,
        counts=counts,
        kinds=[kind.value for kind in operations.NAMED_KINDS],
        kind=kind.value,
        days=str((last - first).days + 1),
        first=first,
        last=last,
    )


def show_versions(visit: PageVisit) -> Response:
    """Return which versions of the app and of systems devices report."""
    app = visit.app(visit.name("app_id"))
    counts = operations.count_versions(visit.runtime, app.app_id)
    if download_format(visit):
        rows = [
            dict(zip(VERSION_COLUMNS, (*words, times), strict=True)) for words, times in counts.rows
        ]
        return answer_download(visit, "versions", VERSION_COLUMNS, rows)
    return visit.render("versions.html", app=app, counts=counts)


def show_newest(visit: PageVisit) -> Response:
    """Return the records that came last."""
    app = visit.app(visit.name("app_id"))
    state = operations.lake_state(visit.runtime, app.app_id)  # first: what comes later is told
    records = operations.newest_records(visit.runtime, app.app_id, limit=NEWEST_ROWS)
    if download_format(visit):
        rows = [{name: getattr(record, name) for name in RECORD_COLUMNS} for record in records]
        return answer_download(visit, "newest", RECORD_COLUMNS, rows)
    return visit.render("newest.html", app=app, records=records, state=state)


def show_snippets(visit: PageVisit) -> Response:
    """Return what to paste into an app, for each kind of sender."""
    app = visit.app(visit.name("app_id"))
    address = visit.console.context.public_url
    return visit.render("snippets.html", app=app, address=address, snippets=write_snippets(address))


def _render_list(visit: PageVisit, errors: FormErrors) -> Response:
    return visit.render(
        "apps.html",
        status=422 if errors else 200,
        apps=visit.visible_apps(),
        errors=errors,
        may_create=visit.may_everywhere(Role.OWNER),
    )


def _read_month(visit: PageVisit, newest: date) -> date:
    """The first day of the month that the query names, 2026-11; of the newest if it names none."""
    try:
        return date.fromisoformat(f"{visit.query.get('month', '')}-01")
    except ValueError:
        return newest.replace(day=1)


def _newest_day(visit: PageVisit, counts: Mapping[Kind, Counter[date]]) -> date:
    """The newest day that has rows, or today."""
    today = visit.now.date()
    return min(today, max((day for found in counts.values() for day in found), default=today))


def _heat(counts: Mapping[Kind, Counter[date]]) -> dict[int, int]:
    """How warm each count is, by the quantiles of the month."""
    values = sorted(count for days in counts.values() for count in days.values() if count)
    return {
        value: min(HEAT_STEPS - 1, HEAT_STEPS * place // len(values))
        for place, value in enumerate(values)
    }
