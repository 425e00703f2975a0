"""The operations that try an export before it is made: its first rows, and its container."""

from dataclasses import dataclass

from engagement.exceptions import DestinationError, EngagementError, InvalidContainerError
from engagement.export.preview import preview_rows
from engagement.export.requests import shape_of_request
from engagement.model.export_request import ExportRequest
from engagement.runtime.opening import Runtime

PREVIEW_ROWS = 20
PREVIEW_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCheck:
    """One thing that a container must allow, and whether it does."""

    name: str
    """What was tried."""
    problem: EngagementError | None = None
    """Why it did not work; None if it did."""


def preview_export(runtime: Runtime, request: ExportRequest) -> str:
    """The first rows that an export would hold now, as its files write them; nothing is kept.

    What is accepted and not yet in the lake is not among them. Parquet is shown as NDJSON.

    Args:
        runtime: The service.
        request: What would be exported; its container URL is not used and may be empty.

    Raises:
        UnknownAppError: No app has this id.
        InvalidExportError: It names columns that the type does not have.
    """
    runtime.apps.get(request.app_id)
    shape_of_request(request)
    content = preview_rows(
        runtime.lake,
        request,
        runtime.inbox.last_commits(request.app_id),
        part_rows_target=runtime.settings.part_rows_target,
        rows_max=PREVIEW_ROWS,
    )
    return content[:PREVIEW_BYTES_MAX].decode("utf-8", "replace")


def check_container(runtime: Runtime, container_url: str) -> list[ContainerCheck]:
    """What a container must allow, in order, up to the first that it does not.

    A small marker is written and written again, as parts are after an interruption.
    """
    checks = []
    try:
        destination = runtime.destination(container_url)
    except InvalidContainerError as error:
        return [ContainerCheck(name="The URL is a container's and may be used", problem=error)]
    checks.append(ContainerCheck(name="The URL is a container's and may be used"))
    for name in ("An object can be written", "An object can be written again"):
        try:
            destination.check()
        except DestinationError as error:
            return [*checks, ContainerCheck(name=name, problem=error)]
        checks.append(ContainerCheck(name=name))
    return checks
