"""Opens the vault with the key that everything is sealed with, and exchanges that key.

The state database says which key that is. A new key is on disk before anything is sealed with it,
and takes the place of the old one after everything is: whatever ends the process in between, the
key that is needed is at hand.
"""

from collections.abc import Mapping
from pathlib import Path

from engagement.exceptions import BadInputError, EngagementError, VaultKeyLostError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.store.durable import sync_path
from engagement.store.queries.installation import SIGNING_KEY, VAULT_KEY_ID, InstallationQueries
from engagement.store.vault import Vault, load_or_create_key, read_key, write_new_key

KEYS_FOLDER = "keys"
KEY_FILE = "vault.key"
NEXT_KEY_FILE = "vault.key.next"


class Keyring:
    """The keys of an installation: the vault's in files, the token signing key sealed."""

    def __init__(
        self,
        home: Path,
        installation: InstallationQueries,
        *,
        is_owner: bool,
        on_failpoint: FailpointHook = no_failpoint,
    ) -> None:
        """Keep the keys of a home folder.

        Args:
            home: The home folder, in which the vault's key is.
            installation: The values that the keys are kept in, or named by.
            is_owner: Whether this process holds the lock of the home folder. Only then an exchange
                is made, or completed that was cut off: of two at once, one might lose a key.
            on_failpoint: Called at each failpoint of an exchange.
        """
        self.installation = installation
        """The values that the keys are kept in, or named by."""
        folder = home / KEYS_FOLDER
        self._file, self._next_file = folder / KEY_FILE, folder / NEXT_KEY_FILE
        self._is_owner = is_owner
        self._on_failpoint = on_failpoint

    def open_vault(self) -> Vault:
        """The vault; a key is made for an installation that has none yet, and never for another.

        Raises:
            VaultKeyLostError: The key that everything is sealed with is not in the home folder.
            BadInputError: The key file of a new installation does not hold a key.
        """
        vault = self.find_vault()
        if vault is None:
            key_id = self.installation.find_value(VAULT_KEY_ID)
            raise VaultKeyLostError(
                f"The home folder must have the key {key_id.hex() if key_id else ''} in "
                f"{self._file}, which has no key or another one. Put a copy of it back; or, if it "
                "is lost, go on with `engagement keys reset`."
            )
        return vault

    def find_vault(self) -> Vault | None:
        """The vault; None if its key is lost."""
        key_id = self.installation.find_value(VAULT_KEY_ID)
        if key_id is None:
            vault = Vault(load_or_create_key(self._file))
            key_id = self.installation.value(VAULT_KEY_ID, vault.key_id)
        found = self._vault_with(key_id)
        if found is not None:
            return found
        # The process that owns the home folder may have exchanged the key between the two looks.
        new_key_id = self.installation.value(VAULT_KEY_ID, key_id)
        return None if new_key_id == key_id else self._vault_with(new_key_id)

    def _vault_with(self, key_id: bytes) -> Vault | None:
        """The vault with this key, in whichever file it is; None if in none."""
        for path in (self._file, self._next_file, self._file):  # it moves from there to here
            found = _vault_of(path)
            if found is not None and found.key_id == key_id:
                if path == self._next_file and self._is_owner:
                    self._complete_exchange()
                return found
        return None

    def exchange(self, vault: Vault | None, values: Mapping[str, bytes], signing_key: str) -> Vault:
        """Return a vault with a new key when everything that opens is sealed with it.

        Of a process that ends in the middle, either nothing is to be seen, or all.

        Args:
            vault: Opens what is sealed; None if its key is lost.
            values: The installation's values that change together with the key.
            signing_key: The token signing key, to be sealed with the new key.
        """
        new = Vault(write_new_key(self._next_file))
        self._on_failpoint(Failpoint.KEYS_WRITTEN)

        def reseal(sealed: bytes, context: str) -> bytes:
            if vault is None:
                return sealed
            try:
                return new.seal(vault.open(sealed, context=context), context=context)
            except EngagementError:  # it was lost before; whoever needs it will be told
                return sealed

        self.installation.exchange_keys(
            {
                **values,
                VAULT_KEY_ID: new.key_id,
                SIGNING_KEY: new.seal(signing_key, context=SIGNING_KEY),
            },
            reseal=reseal,
            before_commit=lambda: self._on_failpoint(Failpoint.KEYS_SEALED),
        )
        self._on_failpoint(Failpoint.KEYS_COMMITTED)
        self._complete_exchange()
        self._on_failpoint(Failpoint.KEYS_EXCHANGED)
        return new

    def _complete_exchange(self) -> None:
        """Let the new key take the place of the old one."""
        self._next_file.replace(self._file)
        sync_path(self._file.parent)


def _vault_of(path: Path) -> Vault | None:
    """The vault of a key file; None if the file is not there or holds no key."""
    try:
        return Vault(read_key(path))
    except (BadInputError, FileNotFoundError):
        return None
