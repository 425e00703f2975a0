"""This module says in a manifest what an export delivered."""

from engagement.export.plan import Plan
from engagement.model.exports import ExportRequest, ExportTask, Receipt


def manifest_of(
    task: ExportTask, request: ExportRequest, plan: Plan, receipts: dict[int, Receipt]
) -> bytes:
    """The manifest; it depends on the request, the plan and the parts alone, not on the clock."""
    raise NotImplementedError
