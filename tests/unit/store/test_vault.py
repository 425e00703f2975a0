"""Tests that a sealed text opens only with its key, in its context, unaltered."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError, EngagementError
from engagement.store.vault import KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, Vault, load_or_create_key

KEY = bytes(range(KEY_BYTES))
VAULT = Vault(KEY)
SECRET = "https://account.blob.core.windows.net/container?sig=canary"  # noqa: S105 - a canary
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=_TEXT, context=_TEXT)
def test_what_is_sealed_opens_in_its_context(text: str, context: str) -> None:
    sealed = VAULT.seal(text, context=context)

    assert VAULT.open(sealed, context=context) == text
    assert Vault(KEY).open(sealed, context=context) == text


@given(text=_TEXT, context=_TEXT, other=_TEXT)
def test_what_is_sealed_opens_in_no_other_context(text: str, context: str, other: str) -> None:
    sealed = VAULT.seal(text, context=context)

    if other != context:
        with pytest.raises(EngagementError, match="does not open"):
            VAULT.open(sealed, context=other)


@given(data=st.data())
def test_an_altered_byte_is_refused(data: st.DataObject) -> None:
    sealed = bytearray(VAULT.seal(SECRET, context="task"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(EngagementError) as raised:
        VAULT.open(bytes(sealed), context="task")

    assert "canary" not in f"{raised.value!r} {raised.value.__cause__!r}"


@given(data=st.data())
def test_a_cut_text_is_refused(data: st.DataObject) -> None:
    sealed = VAULT.seal(SECRET, context="task")
    length = data.draw(st.integers(0, len(sealed) - 1))

    with pytest.raises(EngagementError):
        VAULT.open(sealed[:length], context="task")


@given(st.binary())
def test_anything_else_is_refused(content: bytes) -> None:
    for sealed in (content, VAULT.seal("", context="")[:KEY_ID_BYTES] + content):
        with pytest.raises(EngagementError):
            VAULT.open(sealed, context="task")


def test_another_key_is_refused_and_both_are_named() -> None:
    other = Vault(bytes(KEY_BYTES))

    with pytest.raises(EngagementError) as raised:
        other.open(VAULT.seal(SECRET, context="task"), context="task")

    ids = [repr(item).removeprefix("Vault(key_id=").removesuffix(")") for item in (VAULT, other)]
    assert all(item in str(raised.value) for item in ids)


def test_equal_texts_are_sealed_apart_and_hide_what_they_hold() -> None:
    sealed = [VAULT.seal(SECRET, context="task") for _ in range(100)]

    assert len({item[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES] for item in sealed}) == 100
    assert not any(b"canary" in item or b"container" in item for item in sealed)


def test_a_vault_does_not_show_its_key() -> None:
    shown = f"{VAULT} {VAULT!r}"

    for form in (KEY.hex(), base64.b64encode(KEY).decode(), repr(KEY)):
        assert form not in shown


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(BadInputError, match=f"got {length}"):
        Vault(bytes(length))


def test_a_key_file_is_made_once_for_the_owners_eyes_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vault.key"
    before = os.umask(0)
    try:
        key = load_or_create_key(path)
    finally:
        os.umask(before)

    assert len(key) == KEY_BYTES
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["vault.key"]


def test_key_files_differ(tmp_path: Path) -> None:
    assert load_or_create_key(tmp_path / "a") != load_or_create_key(tmp_path / "b")


def test_all_who_make_a_key_file_at_once_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(path), range(64)))

    assert len(keys) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["vault.key"]


@pytest.mark.parametrize(
    "content",
    [b"", b"canary", b"\xff\xfe", base64.b64encode(bytes(31)), base64.b64encode(bytes(33)), KEY],
)
def test_a_key_file_that_holds_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(content)

    with pytest.raises(BadInputError, match=r"vault\.key") as raised:
        load_or_create_key(path)

    assert "canary" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_key_file_may_end_with_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(base64.b64encode(KEY) + b"\r\n")

    assert load_or_create_key(path) == KEY
