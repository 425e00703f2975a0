"""What an operation of upkeep did to an app's tables."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from engagement.store.commits import FileChange
from engagement.store.data_files import DataFile


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepReport:
    """What an operation of upkeep did."""

    tables: int = 0
    """Tables that changed."""
    rows_before: int = 0
    """Rows in what was rewritten."""
    rows_after: int = 0
    """Rows that it has now."""
    files_before: int = 0
    """Files of what was rewritten."""
    files_after: int = 0
    """Files that it has now."""
    files_deleted: int = 0
    """Files that were deleted from storage."""


def add_reports(report: UpkeepReport, other: UpkeepReport) -> UpkeepReport:
    """What two operations did together."""
    return UpkeepReport(
        **{
            field.name: getattr(report, field.name) + getattr(other, field.name)
            for field in fields(report)
        }
    )


def add_counts(
    report: UpkeepReport,
    *,
    tables: int,
    before: Sequence[DataFile],
    after: Sequence[FileChange],
) -> UpkeepReport:
    """What was done by a report, and then to some tables and files."""
    return UpkeepReport(
        tables=report.tables + tables,
        rows_before=report.rows_before + sum(file.rows for file in before),
        rows_after=report.rows_after + sum(file.rows for file in after),
        files_before=report.files_before + len(before),
        files_after=report.files_after + len(after),
        files_deleted=report.files_deleted,
    )
