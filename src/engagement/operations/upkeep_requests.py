"""Does upkeep where tasks run: here, or in the process that holds the home folder."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

import structlog

from engagement.exceptions import BadInputError, Retryable
from engagement.model.audit import Action
from engagement.operations.app_deletion import (
    AppRemovalReport,
    mark_app_deleted,
    remove_deleted_app,
)
from engagement.operations.audit import record_change
from engagement.operations.erasing import ErasureReport, erase_device, erase_user
from engagement.operations.upkeep import compact, fold_snapshots, retain, vacuum
from engagement.runtime.opening import Runtime
from engagement.store.upkeep_report import UpkeepReport
from engagement.telemetry import span

_log = structlog.get_logger()
_AUDITED = {"erase": Action.DEVICE_ERASE, "retain": Action.HISTORY_RETAIN}
"""Operations of upkeep that take data out."""


@runtime_checkable
class RemoteRunner(Protocol):
    """Runs tasks in another process, and upkeep too."""

    def do_upkeep(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
        """Return only when an operation is done; what it did."""


def request_upkeep(runtime: Runtime, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
    """Return only when an operation of upkeep is done, by whoever runs tasks; what it did.

    Args:
        runtime: The service.
        name: compact, fold, vacuum, retain, erase or delete_app.
        arguments: The `app_id`, and what the operation needs besides: `days`; `device_id` or
            `user_id`.
    """
    if (action := _AUDITED.get(name)) is not None:
        record_change(runtime, action, app_id=arguments["app_id"], subject=_describe(arguments))
    runner: object = runtime.runner
    if isinstance(runner, RemoteRunner):
        return runner.do_upkeep(name, arguments)
    return do_upkeep(runtime, name, arguments)


def delete_app(runtime: Runtime, app_id: str, *, confirm: str) -> AppRemovalReport:
    """Delete an app with its keys, tasks, refused records and tables; what that took out.

    It is deleted at once, for good, as `mark_app_deleted` says. Its data goes before the return if
    whoever runs tasks can remove it by then; else that goes on by itself, as long as there is
    something, also after a crash. Containers that exports were delivered to are left alone.

    Args:
        runtime: The service.
        app_id: The app.
        confirm: The app's name, as a proof that it is the one that is meant.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The name is another one.
    """
    mark_app_deleted(runtime, app_id, confirm=confirm)
    unfinished = runtime.app_removal.count_unfinished(app_id)
    if runtime.runner is None:  # whoever runs tasks looks around by itself
        return AppRemovalReport(rows=0, unfinished=max(1, unfinished))
    try:
        return AppRemovalReport(**request_upkeep(runtime, "delete_app", {"app_id": app_id}))
    except Retryable:
        return AppRemovalReport(rows=0, unfinished=max(1, unfinished))


def do_upkeep(runtime: Runtime, name: str, arguments: Mapping[str, str]) -> dict[str, int]:
    """Return only when an operation of upkeep is done here; what it did."""
    began = time.monotonic()
    with span(f"upkeep {name}", app=arguments["app_id"]):
        report = asdict(_do(runtime, name, arguments))
    seconds = round(time.monotonic() - began, 3)
    _log.info("upkeep_asked", name=name, app=arguments["app_id"], seconds=seconds, **report)
    return report


def _do(
    runtime: Runtime, name: str, arguments: Mapping[str, str]
) -> UpkeepReport | ErasureReport | AppRemovalReport:
    app_id = arguments["app_id"]
    match name:
        case "compact":
            return compact(runtime, app_id)
        case "fold":
            return fold_snapshots(runtime, app_id)
        case "vacuum":
            return vacuum(runtime, app_id)
        case "retain":
            return retain(runtime, app_id, int(arguments["days"]))
        case "delete_app":
            return remove_deleted_app(runtime, app_id)
        case "erase":
            return _erase(runtime, app_id, arguments)
        case _:
            raise BadInputError(f"No operation of upkeep has the name {name[:60]!r}.")


def _erase(runtime: Runtime, app_id: str, arguments: Mapping[str, str]) -> ErasureReport:
    if "device_id" in arguments:
        return erase_device(runtime, app_id, arguments["device_id"])
    return erase_user(runtime, app_id, arguments["user_id"])


def _describe(arguments: Mapping[str, str]) -> str:
    """What is taken out; an erasure leaves no id of a device or user, not even here."""
    if "days" in arguments:
        return f"history older than {arguments['days']} days"
    return "a device" if "device_id" in arguments else "all devices of a user"
