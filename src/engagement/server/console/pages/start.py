"""The first page of the console."""

from starlette.responses import Response

from engagement.server.console.visits import PageVisit


def show(visit: PageVisit) -> Response:
    """Return the first page."""
    return visit.render("start.html", apps=visit.visible_apps())
