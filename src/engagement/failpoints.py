"""Names the points of a flush and of an export at which a process may die.

The service passes them by; the durability tests kill it at each. Adding an effect to a flush or
an export means adding a point here, so that the tests kill there too.
"""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """A place between two effects."""

    FLUSH_DECODED = "flush_decoded"
    FLUSH_TABLE_APPENDED = "flush_table_appended"
    FLUSH_BEFORE_RECORD = "flush_before_record"
    FLUSH_AFTER_RECORD = "flush_after_record"
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


Reach = Callable[[Point], None]
"""Told each point that is reached."""


def pass_by(point: Point) -> None:
    """Do nothing at any point, as the service does."""
    del point
