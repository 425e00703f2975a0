"""Forgets how workflows went that ended long ago, so that DBOS's tables do not grow for ever."""

from datetime import UTC, datetime, timedelta

from dbos import DBOS

from engagement.export.workflow import EXPORT_WORKFLOW
from engagement.runtime.import_workflow import IMPORT_WORKFLOW

KEPT = timedelta(days=1)
"""After its end; nobody asks for it, but whoever looks into something that went wrong."""
FORGET_SECONDS = 600.0
"""From one look to the next."""
AT_ONCE = 500
"""Workflows that one transaction deletes."""
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


def forget_ended_workflows(ended_before: datetime) -> int:
    """Delete exports' and imports' workflows that ended before an instant; how many.

    An export's parts go with it and before it, never by themselves: one that has ended is still
    asked about by an export that goes on. Several processes may do this at once.
    """
    forgotten = 0
    while ended := _list_ids(
        name=[EXPORT_WORKFLOW, IMPORT_WORKFLOW],
        status=_ENDED,
        completed_before=ended_before.isoformat(),
    ):
        for workflow_id in ended:
            while parts := _list_ids(parent_workflow_id=workflow_id):
                DBOS.delete_workflows(parts)
        DBOS.delete_workflows(ended)
        forgotten += len(ended)
    return forgotten


def forget_old_workflows() -> None:
    """Delete what ended longer ago than it is kept."""
    forget_ended_workflows(datetime.now(UTC) - KEPT)


def _list_ids(**chosen: str | list[str]) -> list[str]:
    found = DBOS.list_workflows(
        limit=AT_ONCE,
        load_input=False,
        load_output=False,
        **chosen,  # type: ignore[arg-type] # each is what its name asks for
    )
    return [workflow.workflow_id for workflow in found]
