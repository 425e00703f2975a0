"""Tests that files of tags are read as JSON says, or refused with a place."""

import codecs
import json
import tracemalloc
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.tag_files import decode_text, read_entries
from engagement.exceptions import CorruptInputError
from engagement.model.limits import TAG_CHARACTERS_MAX, TAGS_PER_RECORD_MAX

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

    expected = [entry for item in objects for entry in item.items()]
    for size in (len(text), 1, 7):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [(entry.given, entry.tags) for entry in read_entries(pieces)] == expected


@given(st.text(st.sampled_from('{}[]",: \\\n1ae.-') | st.characters()))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = list(read_entries([text]))
    except CorruptInputError:
        assert not _is_object(text)
    else:
        assert all(isinstance(entry.given, str) for entry in read)


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
        ("[]", r"`\{` at character 1, got something else"),
        ('{"a": {}', "`,` at character 9, got the end"),
        ('{"a" {}}', r"`:` at character 6, got something else"),
        ('{"a": {},}', r"a JSON value .* at character 10, got something else"),
        ("{1: {}}", "a device id in quotes at character 3"),
        ('{"a": {}} x', r"`\{` at character 11, got something else"),
        ('{"a": ' + "[" * 100_000, "not too deep"),
        ('{"a": ' + "1" * 5_000, "or long"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(CorruptInputError, match=words):
        list(read_entries([text]))


def test_what_comes_before_the_damage_is_given() -> None:
    entries = read_entries(['{"a": {"b": "c"}}\n{"d": {'])

    assert next(entries)[:2] == ("a", {"b": "c"})
    with pytest.raises(CorruptInputError):
        next(entries)


@given(st.text(), st.integers(1, 5), st.binary(max_size=3))
def test_bytes_become_the_text_that_they_are_or_are_refused_with_their_place(
    text: str, size: int, damage: bytes
) -> None:
    data = text.encode("utf-8", "replace") + damage
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    try:
        expected = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + 1 + (3 if data.startswith(codecs.BOM_UTF8) else 0)
        with pytest.raises(CorruptInputError, match=f"at byte {place}\\."):
            list(decode_text(chunks))
    else:
        assert "".join(decode_text(chunks)) == expected


ENDLESS = {
    "one value": lambda: chain(['{"a": [0'], repeat(",[]" * 20_000)),
    "one text": lambda: chain(['{"a": "'], repeat("a" * 60_000)),
    "one number": lambda: chain(['{"a": 1'], repeat("1" * 60_000)),
    "one space": lambda: chain(['{"a": {}}'], repeat(" " * 60_000, 2_000), ["x"]),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_refused_in_little_memory(what: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptInputError):
            for _ in read_entries(ENDLESS[what]()):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 100 * 1024 * 1024


def test_an_entry_of_all_tags_that_a_device_may_have_is_read_however_it_is_written() -> None:
    tags = {f"{number:064}": "\u20ac" * TAG_CHARACTERS_MAX for number in range(TAGS_PER_RECORD_MAX)}
    text = json.dumps({"a": tags}, indent=1)

    (entry,) = read_entries(text[at : at + 60_000] for at in range(0, len(text), 60_000))

    assert entry.tags == tags
