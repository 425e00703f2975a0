"""Keeps a service that was moved from being opened where it was.

The state database says where the service went. The lake that it left says so too (`lake_copy`),
since another state database may be opened beside it.
"""

from dataclasses import dataclass

from engagement.exceptions import ServiceMovedError
from engagement.model.codec import decode, encode
from engagement.store.lake_copy import TableRows
from engagement.store.queries.installation import InstallationQueries

MOVE = "move"
"""The name of the installation's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """What was moved, counted in the new place and equal to what the old one holds."""

    target: str
    """Where the service is now."""
    tables: tuple[TableRows, ...]
    """The rows of each table of the lake; those that are known to be damaged are not listed."""
    state_rows: int
    """Rows of the state database."""
    waiting: int
    """Batches in the inbox, which are in no table yet."""
    files: int
    """Files of the lake that were copied; none where it stays."""
    bytes: int
    """Their sizes, added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move that was begun."""

    target: str
    """Where to, without credentials."""
    report: MoveReport | None = None
    """What was moved, once all of it is proved; None until then."""


class MoveMark:
    """What a state database says of a move."""

    def __init__(self, installation: InstallationQueries) -> None:
        self._installation = installation

    def read(self) -> Move | None:
        """The move that was begun; None if none was."""
        kept = self._installation.find_value(MOVE)
        return None if kept is None else decode(kept.decode(), Move)

    def begin(self, target: str) -> None:
        """Return only when no process opens the service any more, except to move it there.

        Raises:
            ServiceMovedError: A move to somewhere else was begun.
        """
        begun = self.read()
        if begun is not None and begun.target != target:
            raise _moved(begun)
        if begun is None:
            self._installation.set_value(MOVE, encode(Move(target=target)).encode())

    def finish(self, report: MoveReport) -> None:
        """Return only when the service is known to be in its new place."""
        move = Move(target=report.target, report=report)
        self._installation.set_value(MOVE, encode(move).encode())

    def forget(self) -> None:
        """Let the service be opened here."""
        self._installation.delete_value(MOVE)

    def require_none(self) -> None:
        """Return only if no move was begun.

        Raises:
            ServiceMovedError: One was.
        """
        begun = self.read()
        if begun is not None:
            raise _moved(begun)


def _moved(move: Move) -> ServiceMovedError:
    if move.report is None:
        return ServiceMovedError(
            f"A move of the service to {move.target} was begun and has not ended: run "
            "`engagement move` again with the same file, or with --give-up."
        )
    return ServiceMovedError(f"The service was moved to {move.target}: open it there.")
