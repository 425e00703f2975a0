"""How the service is: processes, queues, disk, upkeep, settings, and a bundle for who helps."""

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import ForbiddenError
from engagement.model.access import Role
from engagement.server.console.downloads import answer_download, download_format
from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.visits import PageVisit

SETTING_COLUMNS = ("variable", "value", "is_default", "description")


def show(visit: PageVisit) -> Response:
    """Return how the service is, to those who see all of it."""
    _require(visit, Role.READER)
    settings = operations.list_settings(visit.runtime.settings)
    if download_format(visit):
        rows = [{name: getattr(each, name) for name in SETTING_COLUMNS} for each in settings]
        return answer_download(visit, "settings", SETTING_COLUMNS, rows)
    state = operations.read_system_state(visit.runtime)
    return visit.render(
        "system.html",
        state=state,
        apps={app.app_id: app for app in visit.visible_apps()},
        storage=visit.console.context.points.storage(),
        settings=settings,
        packages=operations.list_packages(),
        files=operations.BUNDLE_FILES,
        is_owner=visit.may_everywhere(Role.OWNER),
        started_at=visit.console.started_at,
    )


def download_diagnostics(visit: PageVisit) -> Response:
    """Return the bundle, to owners of everything."""
    _require(visit, Role.OWNER)
    context = visit.console.context
    content = operations.pack_diagnostics(
        visit.runtime, storage=context.points.storage(), metrics=context.metrics.page.read()
    )
    name = f"engagement-diagnostics-{visit.now:%Y%m%dT%H%M%SZ}.zip"
    headers = PAGE_HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/zip", headers=headers)


def _require(visit: PageVisit, role: Role) -> None:
    if not visit.may_everywhere(role):
        raise ForbiddenError(f"This needs the role {role} over everything, /.")
