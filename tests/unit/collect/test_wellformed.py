"""Tests that a body is checked before anything is made of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect import wellformed
from engagement.collect.wellformed import (
    check_body,
    check_depth,
    check_size,
    check_utf8,
    replace_halves,
)
from engagement.exceptions import CorruptInputError
from engagement.model.limits import JSON_DEPTH_MAX


def test_a_body_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wellformed, "BODY_BYTES_MAX", 3)
    check_size(b"123")
    with pytest.raises(CorruptInputError, match="at most 3 bytes, got 4"):
        check_body(b"1234")


@given(st.text(), st.text())
def test_bytes_that_are_no_utf_8_are_named_by_their_place(before: str, after: str) -> None:
    good = before.encode(errors="ignore")
    check_utf8(good, "A body")

    with pytest.raises(CorruptInputError, match=f"at byte {len(good)}"):
        check_utf8(good + b"\xff" + after.encode(errors="ignore"), "A body")


@given(st.integers(0, 2 * JSON_DEPTH_MAX), st.text(), st.sampled_from(["[]", "{}"]))
def test_a_body_has_a_depth_which_strings_do_not_add_to(depth: int, text: str, pair: str) -> None:
    opening = "[" if pair == "[]" else '{"a":'
    inside = json.dumps(text + "[" * 99 + '\\"{')
    body = (opening * depth + inside + pair[1] * depth).encode(errors="ignore")

    if depth <= JSON_DEPTH_MAX:
        check_depth(body, "A body")
    else:
        with pytest.raises(CorruptInputError, match=f"depth of {depth}"):
            check_depth(body, "A body")


@given(st.text(st.characters(codec="utf-16", exclude_categories=[]), max_size=20))
def test_whole_characters_stay_as_they_are(text: str) -> None:
    body = json.dumps(text.encode("utf-16", "ignore").decode("utf-16")).encode()

    assert replace_halves(body, lambda _: b"?") == body


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (rb'"half \ud83d"', rb'"half <d83d>"'),
        (rb'"\ude00 low"', rb'"<ude00> low"'.replace(b"u", b"")),
        (rb'"\ud83d\ud83d\ude00"', rb'"<d83d>\ud83d\ude00"'),
        (rb'"\ud83d \ude00"', rb'"<d83d> <de00>"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
    ],
)
def test_each_half_of_a_character_is_replaced(body: bytes, wanted: bytes) -> None:
    assert replace_halves(body, lambda digits: b"<" + digits + b">") == wanted


def test_a_string_of_escaped_quotes_that_is_not_closed_ends() -> None:
    """Tried from each of its quotes anew it would not, since that takes quadratic time."""
    body = b"[" * (JSON_DEPTH_MAX + 1) + b'"' + rb"\"" * 2_000_000

    with pytest.raises(CorruptInputError, match="nest at most"):
        check_depth(body, "A body")
