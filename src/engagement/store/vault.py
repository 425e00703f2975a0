"""Seals container URLs at rest: what the database keeps is useless without the key."""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engagement.exceptions import BadInputError, EngagementError, VaultKeyLostError
from engagement.store.durable import sync_path, write_synced

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 8


class Vault:
    """AES-256-GCM with one key; a sealed text opens only in the context it was sealed in."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise BadInputError(f"The vault's key must have {KEY_BYTES} bytes, got {len(key)}.")
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(b"key id" + key).digest()[:KEY_ID_BYTES]
        """Names the key, and gives nothing of it away."""

    def __repr__(self) -> str:
        return f"Vault(key_id={self.key_id.hex()})"

    def seal(self, plaintext: str, *, context: str) -> bytes:
        """The text, encrypted and bound to a context: key id, nonce, ciphertext."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._cipher.encrypt(nonce, plaintext.encode(), context.encode())
        return self.key_id + nonce + ciphertext

    def open(self, sealed: bytes, *, context: str) -> str:
        """The text that was sealed in this context.

        Raises:
            VaultKeyLostError: Another key sealed it.
            EngagementError: It was sealed in another context, or altered.
        """
        key_id, rest = key_id_of(sealed), sealed[KEY_ID_BYTES:]
        if key_id != self.key_id:
            raise VaultKeyLostError(
                f"The sealed text needs key {key_id.hex()}, got key {self.key_id.hex()}: "
                "the key that it was sealed with was lost."
            )
        try:
            plain = self._cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:  # the latter if it is too short
            raise EngagementError(
                "The sealed text must be whole and of this context, but it does not open."
            ) from error
        return plain.decode()


def key_id_of(sealed: bytes) -> bytes:
    """Return which key a text was sealed with."""
    return sealed[:KEY_ID_BYTES]


def load_or_create_key(path: Path) -> bytes:
    """The key in a file, which is made, for the owner's eyes alone, if it is not there.

    Raises:
        BadInputError: The file does not hold a key.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _create(path)
    return read_key(path)


def write_new_key(path: Path) -> bytes:
    """Return a new key when it is in a file on disk, whole, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_temporary(path).replace(path)
    sync_path(path.parent)
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises:
        BadInputError: The file does not hold a key.
        FileNotFoundError: There is none.
    """
    try:
        return decode_key(path.read_text(encoding="ascii"), "A key file")
    except BadInputError as error:
        raise BadInputError(f"{error} It is {path}.") from error
    except ValueError as error:
        raise BadInputError(f"A key file must hold base64 text, got another: {path}.") from error


def decode_key(text: str, where: str) -> bytes:
    """The key in a text, of which nothing is shown.

    Args:
        text: Base64.
        where: What holds it, for the message.

    Raises:
        BadInputError: It is not a key.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError as error:
        raise BadInputError(f"{where} must hold base64 text, got something else.") from error
    if len(key) != KEY_BYTES:
        raise BadInputError(f"{where} must hold {KEY_BYTES} bytes as base64, got {len(key)}.")
    return key


def encode_key(key: bytes) -> bytes:
    """The content of a file that holds a key, as `read_key` reads it."""
    return base64.b64encode(key) + b"\n"


def _create(path: Path) -> None:
    """Whole or not at all, and never over a key that another process made meanwhile."""
    temporary = _write_temporary(path)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    sync_path(path.parent)


def _write_temporary(path: Path) -> Path:
    """Write a new key beside the place that it is for; only its owner can ever read it."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    write_synced(temporary, encode_key(secrets.token_bytes(KEY_BYTES)))
    return temporary
