"""The operations on the installation's keys: what is sealed, and what signs access tokens."""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from engagement.exceptions import EngagementError
from engagement.model.codec import decode, encode
from engagement.model.keys import FormerSigningKey, KeyState, KeyStatus, SigningKeys
from engagement.runtime.opening import Runtime
from engagement.store.keyring import Keyring
from engagement.store.queries.installation import (
    FORMER_SIGNING_KEYS,
    SIGNING_KEY,
    VAULT_KEY_ID,
    InstallationQueries,
)
from engagement.store.vault import Vault

TOKEN_LIFE_MAX = timedelta(hours=1, minutes=1)
"""After so long the last token of a former key has ended, whatever clocks say of a minute."""


def read_signing_keys(runtime: Runtime) -> SigningKeys:
    """The keys that this installation signs and checks access tokens with.

    The first is made once and kept sealed, so that every process of the installation signs alike.
    """
    first = runtime.vault.seal(_new_signing_key(), context=SIGNING_KEY)
    sealed = runtime.installation.value(SIGNING_KEY, first)
    return SigningKeys(
        private_key_pem=runtime.vault.open(sealed, context=SIGNING_KEY),
        former=_read_former(runtime.installation),
    )


def read_key_status(keyring: Keyring, *, now: datetime) -> KeyStatus:
    """How the keys are; nothing changes."""
    key_id = keyring.installation.find_value(VAULT_KEY_ID)
    vault = None if key_id is None else keyring.find_vault()
    counts = keyring.installation.count_sealed()
    sealed = 0 if vault is None else counts[vault.key_id]
    signing_key = keyring.installation.find_value(SIGNING_KEY)
    return KeyStatus(
        vault_key=_state(is_known=key_id is not None, is_open=vault is not None),
        vault_key_id=None if key_id is None else key_id.hex(),
        sealed=sealed,
        sealed_lost=counts.total() - sealed,
        signing_key=_state(
            is_known=signing_key is not None,
            is_open=vault is not None and _open_signing_key(keyring, vault) is not None,
        ),
        former_keys_end_at=tuple(
            former.ends_at for former in _read_former(keyring.installation) if former.ends_at > now
        ),
    )


def rotate_keys(keyring: Keyring, *, now: datetime, end_tokens: bool = False) -> KeyStatus:
    """Exchange both keys; tasks go on, and so do tokens until they end.

    Args:
        keyring: The keys; no other process may run on the home folder.
        now: When.
        end_tokens: Whether tokens that the old key signed are refused from now on.

    Raises:
        VaultKeyLostError: There is nothing that could open what is sealed.
    """
    vault = keyring.open_vault()
    former: tuple[FormerSigningKey, ...] = ()
    old = _open_signing_key(keyring, vault)
    if old is not None and not end_tokens:
        kept = (key for key in _read_former(keyring.installation) if key.ends_at > now)
        public_key_pem = _public_key_pem(old)
        former = (
            *kept,
            FormerSigningKey(public_key_pem=public_key_pem, ends_at=now + TOKEN_LIFE_MAX),
        )
    return _exchange(keyring, vault, former, now)


def reset_keys(keyring: Keyring, *, now: datetime) -> KeyStatus:
    """Begin with new keys if one is lost; else nothing changes.

    Clients keep their secrets and have to ask for new tokens. A task whose container URL was sealed
    with the lost key fails when it needs it, and can be retried with a new one.
    """
    found = read_key_status(keyring, now=now)
    if KeyState.LOST not in {found.vault_key, found.signing_key}:
        return found
    return _exchange(keyring, keyring.find_vault(), (), now)


def _exchange(
    keyring: Keyring, vault: Vault | None, former: tuple[FormerSigningKey, ...], now: datetime
) -> KeyStatus:
    values = {FORMER_SIGNING_KEYS: encode(former).encode()}
    keyring.exchange(vault, values, _new_signing_key())
    return read_key_status(keyring, now=now)


def _read_former(installation: InstallationQueries) -> tuple[FormerSigningKey, ...]:
    kept = installation.find_value(FORMER_SIGNING_KEYS)
    return () if kept is None else decode(kept.decode(), tuple[FormerSigningKey, ...])


def _open_signing_key(keyring: Keyring, vault: Vault) -> str | None:
    """The private key as PEM; None if there is none, or if it was sealed with a lost key."""
    sealed = keyring.installation.find_value(SIGNING_KEY)
    try:
        return None if sealed is None else vault.open(sealed, context=SIGNING_KEY)
    except EngagementError:
        return None


def _new_signing_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public_key_pem(private_key_pem: str) -> str:
    public_key = load_pem_private_key(private_key_pem.encode(), password=None).public_key()
    return public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _state(*, is_known: bool, is_open: bool) -> KeyState:
    if not is_known:
        return KeyState.NONE
    return KeyState.PRESENT if is_open else KeyState.LOST
