"""Tests what can be kept of JSON that is not well formed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect import broken_json
from engagement.collect.broken_json import (
    UnsplittableError,
    drop_non_finite,
    empty_strings,
    mark_non_finite,
    split_elements,
    split_members,
    unmark_non_finite,
)
from support.broken_json import count_non_finite, finite, values

separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def _no_constant(word: str) -> object:
    raise AssertionError(f"{word} is left")


@given(value=values, marks=separators, ascii_only=st.booleans())
def test_non_finite_numbers_are_dropped_wherever_they_are(
    value: Any, marks: tuple[str, str], *, ascii_only: bool
) -> None:
    text = json.dumps(value, separators=marks, ensure_ascii=ascii_only)
    kept, dropped = drop_non_finite(text.encode())

    assert json.loads(kept, parse_constant=_no_constant) == finite(value)
    assert dropped == count_non_finite(value)
    if not dropped:
        assert kept == text.encode()


@given(values, separators)
def test_marked_numbers_come_back(value: Any, marks: tuple[str, str]) -> None:
    text = json.dumps(value, separators=marks).encode()
    marked = mark_non_finite(text, b"MARK#")

    json.loads(marked, parse_constant=_no_constant)
    assert marked.count(b"MARK#") == count_non_finite(value)
    assert unmark_non_finite(marked, b"MARK#") == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a":NaN}', "{}"),
        ('{"a":NaN,"b":1}', '{"b":1}'),
        ('{"b":1 , "a":NaN }', '{"b":1  }'),
        ('{"a":NaN,"b":-Infinity,"c":Infinity}', "{}"),
        ('{"b":1,"a":NaN,"c":NaN}', '{"b":1}'),
        ('{"a":[NaN,1,-Infinity]}', '{"a":[null,1,null]}'),
        ("[[NaN]]", "[[null]]"),
        ("NaN", "null"),
        ('{"NaN":"NaN"}', '{"NaN":"NaN"}'),
        (r'{"a\"":NaN,"b":"\":NaN,"}', r'{"b":"\":NaN,"}'),
        ("[NaNs, nan, +Infinity, NaN1]", "[NaNs, nan, +Infinity, NaN1]"),
    ],
)
def test_numbers_go_with_their_keys_and_leave_their_places(text: str, kept: str) -> None:
    assert drop_non_finite(text.encode())[0].decode() == kept


@given(st.lists(values, max_size=6), separators)
def test_arrays_and_objects_are_split_into_what_they_hold(
    elements: list[Any], marks: tuple[str, str]
) -> None:
    texts_of = [json.dumps(element, separators=marks).encode() for element in elements]
    keys = [json.dumps(f'"{place}:,').encode() for place in range(len(elements))]
    members = [key + b" :" + text for key, text in zip(keys, texts_of, strict=True)]

    assert split_elements(b" [" + b" , ".join(texts_of) + b"]\n") == texts_of
    assert split_members(b"{" + b",".join(members) + b"}") == dict(zip(keys, texts_of, strict=True))


@pytest.mark.parametrize(
    "text",
    [b"", b"1", b"[", b"]", b"[]]", b'["]', b'["a]', b"[[]", b"[1]x", b"{}", b'[{"a":[}]', b'[""'],
)
def test_what_has_no_clear_parts_is_not_split(text: bytes) -> None:
    with pytest.raises(UnsplittableError):
        split_elements(text)


@pytest.mark.parametrize("text", [b"[]", b"{1}", b'{"a"}', b"{a:1}", b'{"a":1,}', b'{"a":1}}'])
def test_what_has_no_members_is_not_split(text: bytes) -> None:
    with pytest.raises(UnsplittableError):
        split_members(text)


def test_too_much_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b'{"a":[NaN,NaN]}'
    monkeypatch.setattr(broken_json, "STRUCTURES_MAX", 6)
    assert drop_non_finite(text) == (text, 0)
    with pytest.raises(UnsplittableError):
        split_members(text)

    monkeypatch.setattr(broken_json, "STRUCTURES_MAX", 7)
    assert drop_non_finite(text) == (b'{"a":[null,null]}', 2)


def test_too_many_parts_are_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken_json, "PARTS_MAX", 2)
    assert split_elements(b"[1,2]") == [b"1", b"2"]
    with pytest.raises(UnsplittableError, match="more than 2 parts"):
        split_elements(b"[1,2,3]")


def test_a_string_of_escaped_quotes_that_is_not_closed_ends() -> None:
    text = b'{"a": NaN, "b": "' + rb"\"" * 200_000

    kept, dropped = drop_non_finite(text)

    assert (kept[:10], dropped) == (b'{ "b": "\\"', 1)
    assert empty_strings(kept).endswith(rb'"\"\"')
