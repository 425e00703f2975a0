"""Tests that files of tags are read as JSON says, or refused with a place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.tag_files import read_entries
from engagement.exceptions import CorruptInputError

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
NESTED = st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(), SCALARS, max_size=2)
OBJECT = st.dictionaries(st.text(), SCALARS | NESTED, max_size=3)
OBJECTS = st.lists(OBJECT, min_size=1, max_size=3)


@given(
    OBJECTS,
    st.sampled_from(["", "\n", " \r\n\t", "\ufeff", "\n\ufeff"]),
    st.sampled_from([None, 2]),
)
def test_objects_are_read_as_json_reads_each(
    objects: list[dict[str, object]], between: str, indent: int | None
) -> None:
    text = between + between.join(json.dumps(item, indent=indent) for item in objects) + between

    assert list(read_entries(text)) == [entry for item in objects for entry in item.items()]


@given(st.text(st.sampled_from('{}[]",: \\\n1ae.-') | st.characters()))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = list(read_entries(text))
    except CorruptInputError:
        assert not _is_object(text)
    else:
        assert all(isinstance(key, str) for key, _ in read)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got nothing"),
        (" \n", "got nothing"),
        ("[]", r"`\{` at character 1, got '\[\]'"),
        ('{"a": {}', "`,` at character 9, got the end"),
        ('{"a" {}}', r"`:` at character 6, got '\{\}\}'"),
        ('{"a": {},}', r"a JSON value .* at character 10, got '\}'"),
        ("{1: {}}", "a device id in quotes at character 3"),
        ('{"a": {}} x', r"`\{` at character 11, got 'x'"),
        ('{"a": ' + "[" * 100_000, "not too deep"),
        ('{"a": ' + "1" * 5_000, "or long"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(CorruptInputError, match=words):
        list(read_entries(text))


def test_what_comes_before_the_damage_is_given() -> None:
    entries = read_entries('{"a": {"b": "c"}}\n{"d": {')

    assert next(entries) == ("a", {"b": "c"})
    with pytest.raises(CorruptInputError):
        next(entries)
