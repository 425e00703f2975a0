"""Makes pictures of the console's pages, and looks that each fits: `make screenshots`.

Each page is shown at three widths, light and dark, over a generated sample of one seed.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import Page  # noqa: E402 - the tests' folder is known only now

from engagement import operations  # noqa: E402
from engagement.model.access import Role  # noqa: E402
from engagement.model.exports import ExportState  # noqa: E402
from engagement.model.records import Kind  # noqa: E402
from engagement.model.refused import RefusedFilter  # noqa: E402
from engagement.runtime.opening import Runtime, open_service  # noqa: E402
from engagement.sample.population import generate  # noqa: E402
from engagement.settings import Settings  # noqa: E402
from support.browser import WIDTHS, Window, open_context, running_browser  # noqa: E402
from support.console import Visitor, register, sign_in, visiting  # noqa: E402
from support.server_process import RunningServer, running_server  # noqa: E402
from support.waiting import wait_for  # noqa: E402

DEVICES, DAYS, SEED = 60, 20, 4
REFUSED_EACH = 40
"""One batch of so many has a record that is refused."""
SHOWN = ROOT / "docs" / "images" / "console"
"""What the manual shows; the others are looked at where they lie."""
ALL = ROOT / "screenshots"
PLACE = {"collection": "mobile", "resource_group": "demo", "subscription": "demo"}


def main() -> None:
    """Make every picture.

    Raises:
        SystemExit: A page is wider than its window, or complained.
    """
    SHOWN.mkdir(parents=True, exist_ok=True)
    ALL.mkdir(exist_ok=True)
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _serving(Path(folder)) as (server, beside):
        credentials = register(beside, Role.OWNER)
        with visiting(server, beside, credentials) as visitor:
            pages = _fill(server, beside, visitor, Path(folder))
        with running_browser() as browser:
            for scheme in ("light", "dark"):
                with open_context(browser, server.address, color_scheme=scheme) as context:
                    window = Window(context.new_page())
                    window.go("/console/sign-in")
                    problems += _show(window.page, "sign-in", scheme)
                    sign_in(window, credentials)
                    for name, path in pages.items():
                        window.go(path)
                        problems += _show(window.page, name, scheme)
                    problems += window.complaints
    if problems:
        raise SystemExit("\n".join(problems))


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[RunningServer, Runtime]]:
    (folder / "out").mkdir()
    settings = {"ENGAGEMENT_FLUSH_SECONDS": "1", "ENGAGEMENT_LOCAL_ROOTS": str(folder / "out")}
    with (
        running_server(folder / "home", **settings) as server,
        open_service(Settings(home=folder / "home"), run_tasks=False) as beside,
    ):
        yield server, beside


def _fill(server: RunningServer, beside: Runtime, visitor: Visitor, folder: Path) -> dict[str, str]:
    """Let an app have records of these days, and return the pages to look at."""
    made = operations.create_app(beside, name="Shop", **PLACE)
    app_id = made.app.app_id
    first = datetime.now(UTC).date() - timedelta(days=DAYS)
    sample = folder / "sample.ndjson"
    sample.write_bytes(b"".join(body.rstrip() + b"\n" for body in _bodies(first)))
    server.command("import", str(sample), "--app", app_id)
    with server.http() as http:  # what is posted now is what the charts show
        for body in _bodies(datetime.now(UTC).date(), days=1):
            headers = {"Authorization": f"Bearer {made.app_key}"}
            http.post("/collect/v1/batch", content=body, headers=headers).raise_for_status()
    operations.create_key(
        beside, app_id, name="release 5", ends_at=beside.clock() + timedelta(days=200)
    )
    wait_for(lambda: Kind.DEVICE in beside.inbox.last_commits(app_id), "records in the lake")
    wait_for(lambda: operations.inbox_state(beside).logs == 0, "an empty inbox")
    base = f"/console/apps/{app_id}"
    fields = {
        "action": "create",
        "export_type": "Event",
        "start": first.isoformat(),
        "end": datetime.now(UTC).date().isoformat(),
        "export_format": "NdjsonBlob",
        "container_url": (folder / "out").as_uri(),
    }
    answer = visitor.post(f"{base}/exports/new", "new-export", fields)
    task_id = answer.headers["location"].rpartition("/")[2]
    is_done = ExportState.SUCCEEDED
    wait_for(lambda: operations.get_export(beside, task_id).state is is_done, "an export")
    device = operations.list_devices(beside, app_id, top=1).devices[0].device_id
    refused = _first_refused(beside, app_id)
    return {
        "overview": "/console/?range=1h",
        "apps": "/console/apps",
        "app": base,
        "names": f"{base}/names?days=30",
        "versions": f"{base}/versions",
        "newest": f"{base}/newest",
        "refused": f"{base}/refused",
        "refused-record": f"{base}/refused/{refused}",
        "keys": f"{base}/keys",
        "snippets": f"{base}/snippets",
        "find-device": f"{base}/devices",
        "device": f"{base}/devices/{device}",
        "erase-device": f"{base}/devices/{device}/erase",
        "exports": "/console/exports",
        "export": f"/console/exports/{task_id}",
        "new-export": f"{base}/exports/new",
        "access": "/console/access",
        "changes": "/console/access/changes",
        "system": "/console/system",
    }


def _bodies(first: date, *, days: int = DAYS) -> Iterator[bytes]:
    """A sample of the days up to now, with some records that are refused."""
    for number, body in enumerate(generate(devices=DEVICES, days=days, seed=SEED, first_day=first)):
        if days == 1 and number % REFUSED_EACH == 0:
            batch = json.loads(body)
            batch["logs"].append({"type": "event", "timestamp": "yesterday", "name": "bought"})
            yield json.dumps(batch).encode()
        else:
            yield body


def _first_refused(beside: Runtime, app_id: str) -> int:
    return operations.list_refused(beside, RefusedFilter(app_id=app_id), limit=1)[0].refused_id


def _show(page: Page, name: str, scheme: str) -> list[str]:
    """Keep a page's pictures; what of it does not fit."""
    problems = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_load_state("networkidle")
        page.screenshot(path=ALL / f"{name}-{scheme}-{width}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            problems.append(f"{name} is {wide} pixels wider than {width}")
    if f"{name}-{scheme}" in {"app-light", "system-dark"}:
        page.screenshot(path=SHOWN / f"{name}-{scheme}.png")
    return problems


if __name__ == "__main__":
    main()
