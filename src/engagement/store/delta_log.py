"""Adds a numbered commit to a table's Delta log, and finds which one is there."""

import re
from typing import TYPE_CHECKING

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import create_table_with_add_actions

from engagement.model.records import Kind
from engagement.store.commits import OpenCommit, TableChange
from engagement.store.data_files import files_of
from engagement.store.files import (
    add_actions,
    log_actions,
    statistics_columns,
    table_arrow_schema,
)
from engagement.store.object_files import list_files
from engagement.store.schemas import table_schema

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

LOG_FOLDER = "_delta_log"
QUARANTINE = "_quarantine"
"""Folder beside a table's log for commits that a power loss cut short."""
STAGED_TRANSACTION = "staged"
"""Delta app transaction under which a table's log keeps the number of its newest commit."""
_NUMBERED = re.compile(r"(?:.*/)?([0-9]{20})\.[^/]+")
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


def add_commit(
    path: str, table: DeltaTable | None, pending: OpenCommit, change: TableChange
) -> DeltaTable:
    """Put a change into a table's log under the commit's number; the table as it is then.

    Args:
        path: The table's folder or URL.
        table: The table as it is; None if there is none yet.
        pending: The commit.
        change: What of its changes counts.

    Raises:
        CommitFailedError: Another commit is in its place by now.
    """
    kind = pending.kind
    partition_by = ["date"] if kind.is_historical else []
    properties = CommitProperties(
        app_transactions=[Transaction(STAGED_TRANSACTION, pending.commit_id)],
        max_commit_retries=0,
    )
    if table is None:
        _create_table(path, kind, change, partition_by, properties)
        return DeltaTable(path)
    lacking = table_schema(kind).keys() - {field.name for field in table.schema().fields}
    if lacking:
        fields = Schema.from_arrow(table_arrow_schema(kind)).fields
        table.alter.add_columns([field for field in fields if field.name in lacking])
    table.create_write_transaction(
        log_actions(change),
        mode="append",
        schema=table.schema(),
        partition_by=partition_by,
        commit_properties=properties,
        post_commithook_properties=_AFTER_COMMIT,
    )
    table.update_incremental()
    return table


def _create_table(
    path: str, kind: Kind, change: TableChange, partition_by: list[str], first: CommitProperties
) -> None:
    try:
        create_table_with_add_actions(
            path,
            Schema.from_arrow(table_arrow_schema(kind)),
            add_actions(change),
            partition_by=partition_by,
            configuration={"delta.dataSkippingStatsColumns": ",".join(statistics_columns(kind))},
            commit_properties=first,
            post_commithook_properties=_AFTER_COMMIT,
        )
    except DeltaError as error:
        # That another has made the table meanwhile is no conflict to delta-rs.
        if DeltaTable.is_deltatable(path):
            raise CommitFailedError(str(error)) from error
        raise


def find_newest_number(table: DeltaTable) -> int:
    """The number of the newest commit in a table's log; 0 if it has none."""
    return table.transaction_version(STAGED_TRANSACTION) or 0


def find_outdated_groups(table: DeltaTable | None, pending: OpenCommit) -> set[str]:
    """The groups of a commit that replace a file which is in the table no more."""
    if not any(change.removed for change in pending.changes.values()):
        return set()  # most: then the list of all files is not read
    live = {file.path for file in files_of(table, pending.kind)} if table is not None else set()
    return {
        group_id
        for group_id, change in pending.changes.items()
        if not {file.path for file in change.removed} <= live
    }


def list_log_files(table: "FileSystem", *, before: int) -> list[str]:
    """What the log of a table holds of versions before one, and of what was cut short of them.

    Args:
        table: The table's folder.
        before: The version.
    """
    names = [path for folder in (LOG_FOLDER, QUARANTINE) for path in list_files(table, folder)]
    numbered = [(name, version_of_name(name)) for name in names]
    return sorted(name for name, version in numbered if version is not None and version < before)


def version_of_name(name: str) -> int | None:
    """The version that a file in the folder of a log belongs to; None if it belongs to none."""
    found = _NUMBERED.fullmatch(name)
    return None if found is None else int(found[1])
