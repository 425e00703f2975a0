"""Asks the state database how the service is, which tells too that the database answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from engagement import operations
from engagement.runtime.opening import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLook:
    """What the state database says."""

    damaged: Sequence[tuple[str, str]]
    """The tables that are known to be damaged: the app's id, and the kind."""
    clock_unconfirmed: timedelta
    """By how much the clock moved on otherwise than by running."""


def look_at_state(runtime: Runtime) -> StateLook:
    """Return what the state database says now; whatever it fails with is raised."""
    damaged = operations.list_damaged_tables(runtime)
    return StateLook(
        damaged=[(table.app_id, table.kind.value) for table in damaged],
        clock_unconfirmed=operations.read_unconfirmed_clock(runtime),
    )
