"""The first page: is all well, and what needs somebody."""

from datetime import timedelta

from starlette.responses import JSONResponse, Response

from engagement import operations
from engagement.model.access import Role
from engagement.model.export_lists import ExportFilter
from engagement.model.exports import ExportState
from engagement.model.points import ACCEPTED, DISK, EVERYWHERE, LAG, LAKE, REFUSED, ChartRange
from engagement.operations.attention import Need, NeedKind, list_needs, scopes_of
from engagement.server.console import formats
from engagement.server.console.charts import Figure, make_figure
from engagement.server.console.downloads import answer_download, download_format
from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.visits import PageVisit
from engagement.server.errors import Problem

ENDED = {f"exports.{state.value.lower()}" for state in ExportState if state.is_final}
CHARTS = (
    ("received", "Records a minute, by kind", ACCEPTED),
    ("refused", "Records refused a minute, by code", REFUSED),
    ("exports", "Exports ended, by state", "exports."),
)
SERVICE_CHARTS = (
    ("lag", "Seconds from accepted to exportable", LAG, ""),
    ("disk", "Disk used, percent", DISK, ""),
    ("lake", "Lake size", LAKE, "bytes"),
)
"""Shown to those who see all apps alone."""


def show(visit: PageVisit) -> Response:
    """Return what needs somebody, the figures of now, and the charts of a range."""
    apps = {app.app_id: app for app in visit.visible_apps()}
    is_all = visit.may_everywhere(Role.READER)
    points = visit.console.context.points
    chosen = read_range(visit)
    figures = make_figures(visit, list(apps), is_all=is_all, chosen=chosen)
    name = visit.query.get("chart")
    if download_format(visit):
        return _download(visit, figures, name)
    numbers = _read_numbers(visit, list(apps), figures[0], is_all=is_all)
    if visit.query.get("part") == "live":
        charts = {figure.name: figure.data for figure in figures}
        return JSONResponse({"charts": charts, "numbers": numbers}, headers=PAGE_HEADERS)
    storage = points.storage()
    needs = list_needs(visit.runtime, list(apps), None if is_all else visit.caller, storage=storage)
    return visit.render(
        "overview.html",
        apps=apps,
        is_all=is_all,
        needs=[(need, _link_of(need)) for need in needs],
        figures=figures,
        ranges=ChartRange,
        chosen=chosen,
        has_charts=visit.console.static.has_charts,
        numbers=numbers,
        storage=storage if is_all else None,
    )


def _read_numbers(
    visit: PageVisit, app_ids: list[str], received: Figure, *, is_all: bool
) -> dict[str, str]:
    """Return the numbers of now, as texts."""
    runtime, hour = visit.runtime, timedelta(hours=1)
    scopes = scopes_of(app_ids, is_all=is_all)
    chosen = ExportFilter(app_ids=None if is_all else tuple(app_ids))
    counts = operations.count_exports_by_state(runtime, chosen)
    numbers = {
        "received": f"{_newest(received):,.0f}",
        "accepted": formats.format_count(operations.recent_sum(runtime, scopes, ACCEPTED, hour)),
        "refused": formats.format_count(operations.recent_sum(runtime, scopes, REFUSED, hour)),
        "running": formats.format_bounded(counts[ExportState.STARTED]),
        "waiting": formats.format_bounded(counts[ExportState.QUEUED]),
    }
    if is_all:
        numbers["lag"] = formats.format_duration(operations.inbox_state(runtime).lag)
    return numbers


def read_range(visit: PageVisit) -> ChartRange:
    """Return the range that the query names; a day if it names none."""
    given = visit.query.get("range", "")
    return ChartRange(given) if given in set(ChartRange) else ChartRange.DAY


def make_figures(
    visit: PageVisit, app_ids: list[str], *, is_all: bool, chosen: ChartRange
) -> list[Figure]:
    """Return the charts over some apps, and those of the service for whoever sees all of it."""
    runtime, pending = visit.runtime, visit.console.context.points.read_pending()
    scopes = scopes_of(app_ids, is_all=is_all)
    figures = []
    for name, title, prefix in CHARTS:
        chart = operations.read_chart(runtime, scopes, prefix, chosen, pending=pending)
        if name == "exports":
            chart = operations.keep_series(chart, ENDED)
        per_minute = name != "exports"
        figures.append(make_figure(chart, name, title, prefix=prefix, per_minute=per_minute))
    if is_all:
        for name, title, series, unit in SERVICE_CHARTS:
            chart = operations.read_chart(runtime, [EVERYWHERE], series, chosen)
            figures.append(make_figure(chart, name, title, prefix=series, unit=unit))
    return figures


def _newest(figure: Figure) -> float:
    """What a minute brings now: the newest of the chart."""
    return sum(series[-1] or 0 for series in figure.series.values())


def _download(visit: PageVisit, figures: list[Figure], name: str | None) -> Response:
    figure = next((figure for figure in figures if figure.name == name), None)
    if figure is None:
        raise Problem(404, "NotFound", "There is no such chart.")
    rows = [
        {"at": at, **{key: values[place] for key, values in figure.series.items()}}
        for place, at in enumerate(figure.at)
    ]
    return answer_download(visit, figure.name, ["at", *figure.series], rows)


def _link_of(need: Need) -> str | None:
    """Where what is needed is seen to."""
    if need.kind is NeedKind.EXPORT_FAILED:
        return f"/console/exports/{need.subject_id}"
    return None
