"""Takes all that is kept of deleted apps out of the lake and of the state database."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice

import polars as pl
import sqlalchemy as sa

from engagement.exceptions import LakeDamagedError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.exports import ExportState
from engagement.model.records import Kind
from engagement.model.tag_imports import ImportState
from engagement.store.delta_log import LOG_FOLDER
from engagement.store.durable import sync_path
from engagement.store.lake import Lake
from engagement.store.object_files import list_files, open_files
from engagement.store.queries.sightings import hash_device
from engagement.store.scrubbing import scrub_state
from engagement.store.tables import (
    contents,
    deleted_apps,
    export_parts,
    export_plan_parts,
    export_tasks,
    import_tasks,
    metadata,
    spans,
)

ROWS_PER_TRANSACTION = 1_000
"""Few, so that devices who post meanwhile do not wait long."""
_EXPORTS_UNDER_WAY = [state.value for state in ExportState if not state.is_final]
_IMPORTS_UNDER_WAY = [state.value for state in ImportState if not state.is_final]


class AppRemoval:
    """Removes what is left of deleted apps; safe to repeat, and to cut off anywhere.

    An app is deleted when it is marked so. Its mark goes last, so that whoever finds one knows that
    something may be left.
    """

    def __init__(
        self, engine: sa.Engine, lake: Lake, *, on_failpoint: FailpointHook = no_failpoint
    ) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._lake = lake
        self._on_failpoint = on_failpoint

    def list_marked(self) -> dict[str, datetime]:
        """When each app was deleted of which something may be left."""
        with self._reading.begin() as connection:
            rows = connection.execute(sa.select(deleted_apps))
            return {row.app_id: row.deleted_at for row in rows}

    def count_unfinished(self, app_id: str) -> int:
        """How many tasks of an app have not ended, and may read or write its tables."""
        with self._reading.begin() as connection:
            return sum(
                connection.scalar(
                    sa.select(sa.func.count()).where(
                        table.c.app_id == app_id, table.c.state.in_(under_way)
                    )
                )
                or 0
                for table, under_way in (
                    (export_tasks, _EXPORTS_UNDER_WAY),
                    (import_tasks, _IMPORTS_UNDER_WAY),
                )
            )

    def remove(self, app_id: str) -> int:
        """Return only when neither the lake nor the state database holds anything of an app.

        No task of it may be under way. What a device posted in the very moment of the deletion may
        come in afterwards, so that the mark stays until `forget`.

        Returns:
            How many rows of the state database were deleted.
        """
        with ExitStack() as locks:
            for kind in Kind:
                locks.enter_context(self._lake.rewrite_lock(app_id, kind))
            locks.enter_context(self._lake.flush_lock(app_id))
            locks.enter_context(self._lake.commit_lock(app_id))
            rows = self._delete_sightings(app_id)
            self._delete_tables(app_id)
            self._on_failpoint(Failpoint.APP_TABLES_DELETED)
            rows += self._delete_rows(app_id)
            self._on_failpoint(Failpoint.APP_ROWS_DELETED)
        if rows:
            scrub_state(self._engine)
        return rows

    def forget(self, app_id: str) -> None:
        """Take away the mark of an app of which nothing can come in any more."""
        with self._engine.begin() as connection:
            connection.execute(deleted_apps.delete().where(deleted_apps.c.app_id == app_id))

    def _delete_sightings(self, app_id: str) -> int:
        """Delete what is known of devices by hashes of their ids, which only the tables tell."""
        deleted = 0
        for device_ids in self._device_ids(app_id):
            hashes = [hash_device(app_id, device_id) for device_id in device_ids]
            with self._engine.begin() as connection:
                for table in (spans, contents):
                    found = connection.execute(table.delete().where(table.c.device.in_(hashes)))
                    deleted += found.rowcount
        return deleted

    def _device_ids(self, app_id: str) -> Iterator[tuple[str, ...]]:
        try:
            table = self._lake.find(app_id, Kind.DEVICE)
            if table is None:
                return
            for file in self._lake.files(app_id, Kind.DEVICE, table.version()):
                rows = self._lake.scan(app_id, Kind.DEVICE, [file.path])
                found = rows.select(pl.col("device_id").unique()).collect(engine="streaming")
                device_ids = iter(found["device_id"])
                while some := tuple(islice(device_ids, ROWS_PER_TRANSACTION)):
                    yield some
        except (LakeDamagedError, OSError, pl.exceptions.PolarsError):
            return  # cut off before: what is left of hashes is forgotten when it is old

    def _delete_tables(self, app_id: str) -> None:
        """Delete the folder of an app in the lake, the logs of its tables first."""
        if self._lake.local is not None:
            folder = self._lake.local / app_id
            for log in sorted(folder.glob(f"*/{LOG_FOLDER}")):
                shutil.rmtree(log)
            if folder.is_dir():
                shutil.rmtree(folder)
                sync_path(self._lake.local)
            return
        files = open_files(f"{self._lake.root}/{app_id}")
        paths = list_files(files, recursive=True)
        for path in sorted(paths, key=lambda path: LOG_FOLDER not in path):
            files.delete_file(path)

    def _delete_rows(self, app_id: str) -> int:
        """Delete the rows of every table that has an app's; what belongs to its tasks first."""
        of_app = sa.select(export_tasks.c.task_id).where(export_tasks.c.app_id == app_id)
        deleted = sum(
            self._delete_where(table, table.c.task_id.in_(of_app))
            for table in (export_plan_parts, export_parts)
        )
        return deleted + sum(
            self._delete_where(table, table.c.app_id == app_id)
            for table in metadata.sorted_tables
            if "app_id" in table.c and table is not deleted_apps
        )

    def _delete_where(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        some = sa.select(*table.primary_key.columns).where(condition).limit(ROWS_PER_TRANSACTION)
        deleted = 0
        while True:
            with self._engine.begin() as connection:
                found = connection.execute(table.delete().where(key.in_(some))).rowcount
            deleted += found
            if found < ROWS_PER_TRANSACTION:
                return deleted
