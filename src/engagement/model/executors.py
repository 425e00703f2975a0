"""The processes of a cluster, and what each of them is there for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from engagement.exceptions import BadInputError


class ProcessRole(StrEnum):
    """What a process of a cluster does."""

    COLLECT = "collect"
    API = "api"
    FLUSH = "flush"
    COMMIT = "commit"
    EXPORT = "export"
    UPKEEP = "upkeep"


SERVER_ROLES = (ProcessRole.COLLECT, ProcessRole.API)
WORKER_ROLES = (ProcessRole.FLUSH, ProcessRole.COMMIT, ProcessRole.EXPORT, ProcessRole.UPKEEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """A process of a cluster."""

    executor_id: str
    """Its name, which no other process ever had."""
    roles: tuple[ProcessRole, ...]
    """What it does."""
    host: str
    """The machine that it runs on."""
    version: str
    """Its release."""
    slots: int
    """Parts of exports that it writes at a time; 0 if it writes none."""
    started_at: datetime
    """When it started, by the database's clock."""
    silent_seconds: float
    """How long ago it last said that it lives, by the same clock."""
    is_draining: bool
    """Whether it was asked to end when its work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a process learns when it says that it lives."""

    collectors: int
    """How many processes take what devices post, at least 1."""
    slots: int
    """How many parts of exports all processes write at a time, at least 1."""
    is_draining: bool
    """Whether it is to end when its work is done."""


def parse_roles(
    names: tuple[str, ...], possible: tuple[ProcessRole, ...]
) -> tuple[ProcessRole, ...]:
    """Return the roles of these names, all that are possible if there is none.

    Raises:
        BadInputError: A name is none of them.
    """
    for name in names:
        if name not in possible:
            raise BadInputError(f"A role must be one of {', '.join(possible)}, got {name[:40]!r}.")
    return tuple(role for role in possible if role in names or not names)
