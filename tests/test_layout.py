"""Holds the tests to the layout of the code: each module's test is found by its name."""

from itertools import chain
from pathlib import Path

import pytest

from support.checkout import ROOT, TESTS

PACKAGE = ROOT / "src" / "engagement"
LINES_WITHOUT_TEST_MAX = 60
"""A module of at most so many lines may be tested through those that use it."""
SHARE_WITH_TEST_MIN = 0.75
"""Of the modules that are longer; it only ever rises."""

TESTED_ELSEWHERE: dict[str, tuple[str, ...]] = {
    # Commands, which their users type: one test goes through most of them, in real processes.
    "cli/apps": ("acceptance/test_command_line.py",),
    "cli/clients": ("acceptance/server/auth/test_access_tokens.py", "acceptance/test_client.py"),
    "cli/examples": ("test_docs.py",),
    "cli/exports": ("acceptance/test_command_line.py",),
    "cli/imports": ("acceptance/test_command_line.py",),
    "cli/progress": ("acceptance/cli/test_backends.py",),
    "cli/opening": ("acceptance/worker/test_control.py",),
    "cli/upkeep": ("acceptance/test_command_line.py",),
    "cli/verify": ("acceptance/test_command_line.py",),
    # The client needs a server to talk to, good or bad.
    "client/app_calls": ("acceptance/server/management/test_apps.py",),
    "client/asynchronous/apps": (
        "acceptance/test_client.py",
        "acceptance/server/management/test_apps.py",
    ),
    "client/asynchronous/client": ("acceptance/test_client.py",),
    "client/asynchronous/connection": ("integration/test_client_on_the_wire.py",),
    "client/asynchronous/credentials": ("integration/test_client_on_the_wire.py",),
    "client/asynchronous/parts": ("acceptance/test_client.py",),
    "client/asynchronous/sending": ("integration/test_client_on_the_wire.py",),
    "client/calls": ("acceptance/test_client.py", "integration/test_client_on_the_wire.py"),
    "client/reading": ("acceptance/test_client.py",),
    "client/refusals": ("integration/test_errors_over_borders.py",),
    # Steps of one pass over a body or a round, tried through the function that makes it.
    "collect/protocols/segment/outcomes": ("unit/collect/protocols/segment/test_messages.py",),
    "collect/record_tables": ("unit/collect/test_flush.py",),
    # An export is one pass from the plan to the files: these compare whole exports.
    "telemetry": ("acceptance/runtime/test_open_telemetry.py",),
    "export/freeze": ("integration/test_received.py", "unit/export/test_plan.py"),
    "export/rows": ("integration/test_round_trip.py", "integration/test_received.py"),
    "export/workflow": ("durability/test_ends.py", "durability/test_kill.py"),
    # Operations that a door hands a request to, tried through the door.
    "operations/erasing": ("integration/test_erasure.py",),
    "operations/estimates": ("acceptance/test_narrow_exports.py",),
    "operations/upkeep_requests": (
        "acceptance/worker/test_control.py",
        "unit/operations/test_app_deletion.py",
    ),
    "operations/exports": ("acceptance/test_command_line.py", "durability/test_ends.py"),
    # Routes and what only routes use, tried over HTTP.
    "server/dependencies": ("acceptance/server/auth/test_authentication.py",),
    "server/management/devices": (
        "acceptance/server/test_app.py",
        "acceptance/test_published_sdk.py",
    ),
    "server/management/exports_2014_12_01": ("acceptance/server/management/test_export_bodies.py",),
    "server/management/exports_2026_11_01": ("acceptance/server/management/test_export_bodies.py",),
    "server/management/resources": ("acceptance/server/test_app.py",),
    # Sessions of the console, tried through their operations.
    "model/console": ("unit/operations/test_console_sessions.py",),
    "store/queries/console_sessions": ("unit/operations/test_console_sessions.py",),
    # Pages, tried with a browser.
    "server/console/visits": ("unit/server/console/test_visits_templates.py",),
    "server/console/pages/export_advice": ("acceptance/server/console/pages/test_exports.py",),
    "server/console/pages/keys": ("acceptance/server/console/pages/test_apps.py",),
    "server/console/pages/app_settings": ("acceptance/server/console/pages/test_apps.py",),
    "server/console/pages/refused": ("acceptance/server/console/pages/test_apps.py",),
    "server/console/pages/devices": ("acceptance/server/console/pages/test_apps.py",),
    "server/console/pages/new_export": ("acceptance/server/console/pages/test_exports.py",),
    "operations/previews": (
        "unit/export/test_preview.py",
        "acceptance/server/console/pages/test_exports.py",
    ),
    "operations/attention": ("acceptance/server/console/pages/test_overview.py",),
    "model/points": ("unit/store/queries/test_points.py", "unit/operations/test_points.py"),
    "server/schemas": ("acceptance/test_contracts.py",),
    "server/token_endpoint": ("acceptance/server/auth/test_access_tokens.py",),
    # What a lost state is rebuilt from, and repairs, tried as operators ask for them.
    "store/rebuild": ("unit/runtime/test_recovering.py",),
    "store/repair": ("unit/operations/test_damage.py", "unit/export/test_restoring.py"),
    # Views of tables, tried through the operations that ask for them.
    "store/record_views": ("unit/operations/test_app_contents.py",),
    # Values alone.
    "error_codes": ("unit/test_exceptions.py",),
    "store/commits": ("unit/store/queries/test_staging.py", "unit/store/test_lake.py"),
    "store/tables": ("unit/store/test_state.py",),
    "worker/client": ("contract/runtime/test_engine.py", "acceptance/worker/test_main.py"),
}
"""Modules without a test file of their name, and the tests that hold them."""


def _long_modules() -> list[str]:
    """Every module that needs a test, relative to the package, without its suffix."""
    return [
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
        and not {"migrations", "sync"} & set(path.parts)  # tables; and generated code
        and len(path.read_text(encoding="utf-8").splitlines()) > LINES_WITHOUT_TEST_MAX
    ]


def _has_test(module: str) -> bool:
    """Whether a folder of tests holds one of the module's name, in the module's place."""
    folder, _, name = module.rpartition("/")
    return any(
        (kind / folder / f"test_{name.strip('_')}.py").is_file()
        for kind in TESTS.iterdir()
        if kind.is_dir()
    )


def test_every_long_module_has_a_test_of_its_name_or_a_reason() -> None:
    missing = [name for name in _long_modules() if not _has_test(name)]

    assert sorted(missing) == sorted(TESTED_ELSEWHERE)


def test_most_modules_have_a_test_of_their_name() -> None:
    modules = _long_modules()

    assert sum(map(_has_test, modules)) / len(modules) >= SHARE_WITH_TEST_MIN


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_what_holds_a_module_otherwise_is_there(module: str) -> None:
    missing = [name for name in TESTED_ELSEWHERE[module] if not (TESTS / name).is_file()]

    assert TESTED_ELSEWHERE[module]
    assert missing == []


def test_every_unit_test_lies_where_a_module_does() -> None:
    """A file may also be named after a module and what of it is tried: test_payload_broken."""
    strays = [
        path.relative_to(TESTS).as_posix()
        for path in (TESTS / "unit").rglob("test_*.py")
        if not _module_of(path)
    ]

    assert strays == []


def _module_of(path: Path) -> list[Path]:
    folder = PACKAGE / path.parent.relative_to(TESTS / "unit")
    name = path.stem.removeprefix("test_")
    modules = chain(folder.glob("*.py"), folder.glob("*/__init__.py"))
    names = (
        (module.parent.name if module.stem == "__init__" else module.stem, module)
        for module in modules
    )
    return [module for stem, module in names if name == stem or name.startswith(f"{stem}_")]
