"""Does upkeep where tasks run: here, or in the process that holds the home folder."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

from engagement.exceptions import BadInputError
from engagement.operations.erasing import ErasureReport, erase_device, erase_user
from engagement.operations.upkeep import compact, fold_snapshots, retain, vacuum
from engagement.runtime.opening import Runtime
from engagement.store.upkeep_report import UpkeepReport


@runtime_checkable
class RemoteRunner(Protocol):
    """Runs tasks in another process, and upkeep too."""

    def do_upkeep(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
        """Return only when an operation is done; what it did."""


def request_upkeep(runtime: Runtime, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
    """Return only when an operation of upkeep is done, by whoever runs tasks; what it did.

    Args:
        runtime: The service.
        name: compact, fold, vacuum, retain or erase.
        arguments: The `app_id`, and what the operation needs besides: `days`; `device_id` or
            `user_id`.
    """
    runner: object = runtime.runner
    if isinstance(runner, RemoteRunner):
        return runner.do_upkeep(name, arguments)
    return do_upkeep(runtime, name, arguments)


def do_upkeep(runtime: Runtime, name: str, arguments: Mapping[str, str]) -> dict[str, int]:
    """Return only when an operation of upkeep is done here; what it did."""
    return asdict(_do(runtime, name, arguments))


def _do(runtime: Runtime, name: str, arguments: Mapping[str, str]) -> UpkeepReport | ErasureReport:
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
        case "erase" if "device_id" in arguments:
            return erase_device(runtime, app_id, arguments["device_id"])
        case "erase":
            return erase_user(runtime, app_id, arguments["user_id"])
        case _:
            raise BadInputError(f"No operation of upkeep has the name {name[:60]!r}.")
