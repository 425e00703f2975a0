"""The failpoints of flushes, exports, keys, deletions and copies: places where a process may die.

The service does nothing there; the durability tests kill it at each. Whoever adds an effect to one
of them adds a failpoint here, so that the tests kill there too.
"""

from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """A place between two effects."""

    FLUSH_DECODED = "flush_decoded"
    FLUSH_FILES_WRITTEN = "flush_files_written"
    FLUSH_STAGED = "flush_staged"
    COMMIT_FROZEN = "commit_frozen"
    COMMIT_IN_LAKE = "commit_in_lake"
    COMMIT_RECORDED = "commit_recorded"
    EXPORT_STARTED = "export_started"
    EXPORT_PLANNED = "export_planned"
    EXPORT_PLAN_KEPT = "export_plan_kept"
    PART_STARTED = "part_started"
    PART_CHUNK = "part_chunk"
    PART_DELIVERED = "part_delivered"
    PART_RECORDED = "part_recorded"
    MANIFEST_STARTED = "manifest_started"
    MANIFEST_DELIVERED = "manifest_delivered"
    EXPORT_FINISHED = "export_finished"
    KEYS_WRITTEN = "keys_written"
    KEYS_SEALED = "keys_sealed"
    KEYS_COMMITTED = "keys_committed"
    KEYS_EXCHANGED = "keys_exchanged"
    APP_MARKED = "app_marked"
    APP_TABLES_DELETED = "app_tables_deleted"
    APP_ROWS_DELETED = "app_rows_deleted"
    COPY_CLAIMED = "copy_claimed"
    COPY_STATE_READ = "copy_state_read"
    COPY_FILE_WRITTEN = "copy_file_written"
    COPY_FILES_WRITTEN = "copy_files_written"
    COPY_SOURCE_MARKED = "copy_source_marked"
    COPY_STATE_WRITTEN = "copy_state_written"
    COPY_RECORDED = "copy_recorded"
    COPY_FINISHED = "copy_finished"


FailpointHook = Callable[[Failpoint], None]
"""Called at each failpoint that is reached."""


def no_failpoint(failpoint: Failpoint) -> None:
    """Do nothing at any failpoint, as the service does."""
    del failpoint
