"""Opens the vault of a cluster with the key that every machine is given by its settings."""

from collections.abc import Mapping
from pathlib import Path

from engagement.exceptions import BadInputError, VaultKeyLostError
from engagement.store.keyring import Keyring
from engagement.store.queries.installation import VAULT_KEY_ID, InstallationQueries
from engagement.store.vault import Vault


class SharedKeyring(Keyring):
    """The keys of an installation of many machines; none of them is ever made on the way."""

    def __init__(self, home: Path, installation: InstallationQueries, *, key: bytes) -> None:
        super().__init__(home, installation, is_owner=False)
        self._vault = Vault(key)

    def open_vault(self) -> Vault:
        """The vault; the first machine's key is that of the installation.

        Raises:
            VaultKeyLostError: The given key is not the one that everything is sealed with.
        """
        kept = self.installation.value(VAULT_KEY_ID, self._vault.key_id)
        if kept != self._vault.key_id:
            raise VaultKeyLostError(
                f"ENGAGEMENT_VAULT_KEY must be the key {kept.hex()} of this installation, got the "
                f"key {self._vault.key_id.hex()}. Give every machine the same one."
            )
        return self._vault

    def find_vault(self) -> Vault | None:
        """The vault; None if another key is the installation's."""
        kept = self.installation.find_value(VAULT_KEY_ID)
        return self._vault if kept in {None, self._vault.key_id} else None

    def exchange(self, vault: Vault | None, values: Mapping[str, bytes], signing_key: str) -> Vault:
        """Refuse: a process could exchange the key of no other.

        Raises:
            BadInputError: Always.
        """
        del vault, values, signing_key
        raise BadInputError(
            "The keys of a cluster cannot be exchanged by this command: its machines are given "
            "ENGAGEMENT_VAULT_KEY by whoever runs them."
        )
