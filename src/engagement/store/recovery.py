"""Brings the lake to what the state database proves, at a start or when something was damaged.

A commit that is proved to be cut short is undone. Anything else that is not as recorded may have
been acknowledged, so it is neither moved nor deleted: its table is refused, and all others go on.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from engagement.exceptions import LakeDamagedError
from engagement.model.records import Kind
from engagement.store.delta_log import QUARANTINE
from engagement.store.inspection import LakeInspection, version_of
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.staging import StagingQueries

_log = structlog.get_logger()


class LakeRecovery:
    """Mends what can be mended of tables on a local disk, and marks those that are damaged."""

    def __init__(self, inbox: InboxQueries, staging: StagingQueries, lake: Lake) -> None:
        self._inspection = LakeInspection(inbox, staging, lake)
        self._staging = staging
        self._lake = lake

    def recover(self, app_id: str) -> list[str]:
        """Return only when each of an app's tables is what was recorded last, or goes on to be.

        A commit that is open may be in the log already, or cut short by a power loss: then it is
        moved to quarantine, and made again from what is staged.

        Returns:
            The names of the commit files that were moved.

        Raises:
            LakeDamagedError: A recorded commit, or a file that it needs, is missing or altered; or
                there are commits that the state database does not know. The other tables were
                looked at too, and all that are damaged are marked.
        """
        moved: list[str] = []
        failures = []
        for kind in Kind:
            with suppress(LakeDamagedError):  # it is found again and marked
                moved += self._undo_cut_short(app_id, kind)
            failures += self.mark(app_id, [kind], digests=False)
        if failures:
            raise failures[0]
        return moved

    def mark(self, app_id: str, kinds: Iterable[Kind], *, digests: bool) -> list[LakeDamagedError]:
        """Look at tables again, and remember which are damaged and which are not any more.

        Args:
            app_id: The app.
            kinds: The kinds of the tables.
            digests: Whether to read every data file, and not only to look at its size.

        Returns:
            What is wrong, an error a table.
        """
        known = {table.kind: table.damage for table in self._staging.list_damaged(app_id)}
        failures = []
        for kind in kinds:
            try:
                self._inspection.check(app_id, kind, digests=digests or kind in known)
            except LakeDamagedError as error:
                failures.append(error)
                if known.get(kind) != str(error):
                    self._staging.mark_damaged(app_id, kind, str(error))
                    _log.error("table_damaged", app=app_id, kind=kind.value, damage=str(error))
            else:
                if kind in known:
                    self._staging.mark_damaged(app_id, kind, None)
                    _log.warning("table_mended", app=app_id, kind=kind.value)
        return failures

    def _undo_cut_short(self, app_id: str, kind: Kind) -> list[str]:
        moved = [_quarantine(file) for file in self._inspection.find_cut_short(app_id, kind)]
        if moved:
            log = self._lake.commit_file(app_id, kind, 0).parent
            _drop_checkpoints(log, min(version_of(Path(name)) for name in moved) - 1)
        return moved


def _quarantine(file: Path) -> str:
    folder = file.parent.parent / QUARANTINE
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(folder / f"{file.name}.{digest}")
    return file.name


def _drop_checkpoints(log: Path, newest: int) -> None:
    """Delete checkpoints of versions that are gone; they can be made from the log."""
    for file in log.glob("*.checkpoint*"):
        if version_of(file) > newest:
            file.unlink()
            (log / "_last_checkpoint").unlink(missing_ok=True)
