"""The operations that show how the service is, and pack it up for whoever is asked for help."""

import io
import json
import os
import platform
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, requires, version
from re import match

from engagement import __version__
from engagement.model.export_lists import ExportFilter
from engagement.operations.cluster import read_cluster_status
from engagement.operations.collecting import InboxState, inbox_state
from engagement.operations.damage import list_damaged_tables
from engagement.operations.export_lists import count_exports_by_state
from engagement.operations.points import StorageState
from engagement.operations.upkeep import read_unconfirmed_clock
from engagement.runtime.opening import Runtime
from engagement.settings import Settings

PACKAGE = "engagement-export"
TASKS_MAX = 200
"""Exports that a bundle tells of."""
NOT_SHOWN = "set, not shown"
BUNDLE_FILES: Mapping[str, str] = {
    "README.txt": "what the files hold",
    "system.json": "releases, processes, queues, disk, damaged tables",
    "settings.json": "every setting, without secrets",
    "packages.json": "the releases of what the service is made of",
    "upkeep.json": "when each app was tidied up last",
    "tables.json": "version and rows of each table of each app, by the apps' ids",
    "exports.json": f"the newest {TASKS_MAX} exports: type, state, code, rows; no container",
    "metrics.txt": "the server's counters, as /metrics tells them",
}
"""The files of a bundle, each with what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleSetting:
    """A setting as it may be seen."""

    variable: str
    """The variable that sets it."""
    value: str
    """What it is; of a secret, and of what may hold one, only what is none."""
    is_default: bool
    """Whether it is what it is without being set."""
    description: str
    """What it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A process of the service."""

    name: str
    """What it is."""
    state: str
    """How it is, in a word: running, starting, silent, draining."""
    details: str
    """What else is known of it."""

    @property
    def is_well(self) -> bool:
        """Whether nobody has to look at it."""
        return self.state == "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemState:
    """How the service is."""

    release: str
    """Of the service."""
    python: str
    """Of Python, with the machine's kind."""
    processes: Sequence[ProcessState]
    """Its processes."""
    inbox: InboxState
    """What waits to go to the lake."""
    exports: Mapping[str, int]
    """How many exports there are in each state."""
    tidied_at: Mapping[str, datetime | None]
    """When each app was tidied up last, by its id; None if it never was."""
    damaged: Sequence[tuple[str, str]]
    """Damaged tables: the app's id, and the kind."""
    clock_unconfirmed_seconds: float
    """By how much the clock moved on otherwise than by running."""


def read_system_state(runtime: Runtime) -> SystemState:
    """How the service is now."""
    counts = count_exports_by_state(runtime, ExportFilter())
    return SystemState(
        release=__version__,
        python=f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        processes=_list_processes(runtime),
        inbox=inbox_state(runtime),
        exports={state.value: count for state, count in counts.items()},
        tidied_at=runtime.apps.list_tidied(),
        damaged=[(table.app_id, table.kind.value) for table in list_damaged_tables(runtime)],
        clock_unconfirmed_seconds=read_unconfirmed_clock(runtime).total_seconds(),
    )


def list_settings(settings: Settings) -> list[VisibleSetting]:
    """Every setting, without secrets: of addresses neither names and passwords nor queries."""
    return [
        VisibleSetting(
            variable=str(field.validation_alias),
            value=_write_setting(getattr(settings, name), is_secret=not field.repr),
            is_default=getattr(settings, name) == field.default,
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def list_packages() -> dict[str, str]:
    """The releases of the packages that the service needs, by their names."""
    found = {PACKAGE: __version__}
    for requirement in requires(PACKAGE) or ():
        named = match(r"[A-Za-z0-9._-]+", requirement)
        extra = match(r'.*extra == "(.*?)"', requirement)
        if named is None or (extra is not None and extra[1] != "server"):
            continue
        try:
            found[named[0]] = version(named[0])
        except PackageNotFoundError:  # of another platform
            continue
    return dict(sorted(found.items()))


def pack_diagnostics(runtime: Runtime, *, storage: StorageState, metrics: bytes) -> bytes:
    """A zip of `BUNDLE_FILES` that holds no secret, and no word that a device or a person gave."""
    state = asdict(read_system_state(runtime))
    tidied = state.pop("tidied_at")
    texts = {
        "system.json": state | {"storage": asdict(storage), "at": runtime.clock()},
        "settings.json": [asdict(each) for each in list_settings(runtime.settings)],
        "packages.json": list_packages(),
        "upkeep.json": tidied,
        "tables.json": _list_tables(runtime),
        "exports.json": _list_tasks(runtime),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        lines = [f"{name}: {what}" for name, what in BUNDLE_FILES.items()]
        bundle.writestr("README.txt", "\n".join(lines) + "\n")
        for name, values in texts.items():
            bundle.writestr(name, json.dumps(values, indent=1, default=str))
        bundle.writestr("metrics.txt", metrics)
    return content.getvalue()


def _list_processes(runtime: Runtime) -> list[ProcessState]:
    if runtime.settings.is_cluster:
        return [
            ProcessState(
                name=f"{status.executor.host}: {', '.join(status.executor.roles)}",
                state="running" if status.state == "live" else status.state,
                details=f"release {status.executor.version}, {status.workflows_running:,} tasks, "
                f"heard of {status.executor.silent_seconds:.0f} s ago",
            )
            for status in read_cluster_status(runtime).executors
        ]
    processes = [ProcessState(name="server", state="running", details=f"process {os.getpid()}")]
    if runtime.runner is not None:
        health = runtime.runner.health()
        is_silent = health.silent_seconds > runtime.settings.worker_silence_seconds
        processes.append(
            ProcessState(
                name="worker",
                state="silent" if is_silent else "running" if health.is_alive else "starting",
                details=f"started anew {health.restarts:,} times, heard of "
                f"{health.silent_seconds:.0f} s ago"
                + ("; waits for room on the disk" if health.storage_full else ""),
            )
        )
    return processes


def _list_tables(runtime: Runtime) -> list[dict[str, object]]:
    return [
        {"app": app_id, "kind": kind, "version": commit.version, "rows": commit.rows_total}
        for app_id in runtime.inbox.apps_with_tables()
        for kind, commit in runtime.inbox.last_commits(app_id).items()
    ]


def _list_tasks(runtime: Runtime) -> list[dict[str, object]]:
    found = runtime.export_lists.list_page(
        ExportFilter(), limit=TASKS_MAX, before=None, after=None, now=runtime.clock()
    )
    return [
        {
            "task": task.task_id,
            "app": task.app_id,
            "type": task.export_type,
            "format": task.export_format,
            "state": task.state,
            "code": task.error_code,
            "attempt": task.attempt,
            "createdAt": task.created_at,
            "completedAt": task.completed_at,
            "rows": task.progress.rows_done,
            "parts": task.progress.parts_done,
        }
        for task in found
    ]


def _write_setting(value: object, *, is_secret: bool) -> str:
    if value is None or value in ("", ()):
        return ""
    if is_secret:
        return NOT_SHOWN
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        return ", ".join(_without_secrets(str(item)) for item in value)
    return _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Return an address without its name, password, query and fragment; other texts as they are."""
    scheme, is_address, rest = text.partition("://")
    if not is_address:
        return text
    # A password may hold a slash, so all that is before the last sign of one goes.
    whole = rest.rpartition("@")[2]
    return f"{scheme}://{whole.partition('?')[0].partition('#')[0]}"
