"""What to do about an export that failed, by the code of its failure."""

from dataclasses import dataclass

from engagement.exceptions import ErrorCode
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState

NEW_URL = "paste a new container URL below; it goes on with what is missing."
_ADMIT = "let the storage account admit this server, then retry with the container URL below."
_ADVICE = {
    ErrorCode.SOURCE_UNAVAILABLE: "create the export anew: what it had planned to read is gone.",
    ErrorCode.LAKE_DAMAGED: "mend the table (engagement upkeep check), then retry.",
    ErrorCode.CONTAINER_NOT_FOUND: "create the container, then retry with its URL below.",
    ErrorCode.SAS_PERMISSION_MISSING: (
        "make a SAS that may create and write, and paste its container URL below."
    ),
    ErrorCode.ACCOUNT_DISABLED: _ADMIT,
    ErrorCode.IP_NOT_ALLOWED: _ADMIT,
    ErrorCode.INTERNAL: "look into the server's log, then retry with the container URL below.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a page says of an export that did not succeed."""

    what: str
    """What happened."""
    safe: str
    """What is safe."""
    action: str
    """What to do."""
    code: str
    """The code of the failure, which the page of errors explains."""


def advice_on(task: ExportTask) -> Advice | None:
    """Return what to say of a failed or cancelled export; None of another."""
    if task.state not in {ExportState.FAILED, ExportState.CANCELLED}:
        return None
    done, total = task.progress.parts_done, task.progress.parts_total
    delivered = (
        f"{done:,} of {total:,} parts are delivered and stay."
        if done
        else "no part was delivered; nothing in the lake changed."
    )
    if task.state is ExportState.CANCELLED:
        return Advice(
            what="Cancelled, as somebody asked.",
            safe=delivered,
            action=f"nothing; or {NEW_URL}",
            code=ErrorCode.CANCELLED.value,
        )
    code = task.error_code or ErrorCode.INTERNAL
    return Advice(
        what=task.error_details or "The export failed.",
        safe=delivered,
        action=_ADVICE.get(code, NEW_URL),
        code=code.value,
    )
