"""Names the folders of a service, of its backup, and of where that is restored."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from engagement.failpoints import FailpointHook, no_failpoint
from engagement.runtime.backups import Backup, back_up, restore
from engagement.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFolders:
    """Folders of a service, its backup, and where it is restored."""

    folder: Path

    @property
    def home(self) -> Path:
        """The service."""
        return self.folder / "home"

    @property
    def target(self) -> Path:
        """Its backup."""
        return self.folder / "backup"

    @property
    def key(self) -> Path:
        """The copy of its key."""
        return self.folder / "vault.key"

    @property
    def restored(self) -> Path:
        """Where it is restored."""
        return self.folder / "restored"

    def back_up(self, on_failpoint: FailpointHook = no_failpoint) -> Backup:
        self.key.unlink(missing_ok=True)
        return back_up(
            Settings(home=self.home),
            str(self.target),
            key_file=self.key,
            on_failpoint=on_failpoint,
        )

    def lose_everything_else(self) -> None:
        """Nothing is left but the backup and the key."""
        shutil.rmtree(self.home)

    def restore(self, on_failpoint: FailpointHook = no_failpoint) -> Backup:
        return restore(
            Settings(home=self.restored),
            str(self.target),
            key_file=self.key,
            on_failpoint=on_failpoint,
        )
