"""Tests that what tracking messages say is made to fit, and that little is lost."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.extras import compact_extras
from engagement.collect.protocols.segment.repair import Sanitiser
from engagement.model.limits import (
    EXTRAS_CHARACTERS_MAX,
    EXTRAS_KEYS_MAX,
    KEY_PATTERN,
    TAG_CHARACTERS_MAX,
    TAGS_PER_RECORD_MAX,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = (
    st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["1.50", "-0", "1E5", "1e999", "1e-999", "9" * 400, "18446744073709551616"])
)
SCALARS = NUMBERS | st.sampled_from(["true", "false", "null"]) | TEXTS.map(json.dumps)


def _object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs) + "}"


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda some: f"[{','.join(some)}]")
        | st.lists(st.tuples(TEXTS, inner), max_size=4).map(_object)
    ),
    max_leaves=20,
)
OBJECTS = st.lists(st.tuples(TEXTS | st.sampled_from("ab"), VALUES), max_size=10).map(_object)


def extras(raw: str) -> tuple[str, int]:
    """The repaired extras, and how many values were altered."""
    sanitiser = Sanitiser()
    return bytes(sanitiser.extras(raw.encode())).decode(), sanitiser.repaired


def tags(*sources: str) -> tuple[dict[str, Any], int]:
    """The repaired tags, and how many values were altered."""
    sanitiser = Sanitiser()
    raw = sanitiser.tags(*(sanitiser.members(source.encode()) for source in sources))
    return ({} if raw is None else json.loads(bytes(raw))), sanitiser.repaired


@pytest.mark.parametrize(
    ("text", "name", "repaired"),
    [
        ("Order Completed", "Order Completed", 0),
        ("é" * 64, "é" * 64, 0),
        ("a\u00a0b", "a\u00a0b", 0),
        ("é" * 65, "é" * 64, 1),
        ("  tap\n", "tap", 1),
        ("ta\u0000p\u0085", "tap", 1),
        (f"{'a' * 63} b", "a" * 63, 1),
        ("\t", "", 1),
        ("", "", 0),
    ],
)
def test_names_are_trimmed_and_cut(text: str, name: str, repaired: int) -> None:
    sanitiser = Sanitiser()

    assert (sanitiser.name(text), sanitiser.repaired) == (name, repaired)


@pytest.mark.parametrize(
    ("raw", "kept", "repaired"),
    [
        ("", "", 0),
        ("null", "", 0),
        ("{}", "{}", 0),
        ('{"a": 1.50, "b" : "x, y"}', '{"a":1.50,"b":"x, y"}', 0),
        (r'{"a":"\u00e9"}', '{"a":"é"}', 0),
        ('{"a":[1, {"b":2.0}]}', r'{"a":"[1,{\"b\":2.0}]"}', 0),
        ('{"a":{"b":1,"c":{"d":2}},"e":{}}', r'{"a_b":1,"a_c":"{\"d\":2}","e":"{}"}', 0),
        ('{"$set":1,"a.b":2,"é":3,"":4}', '{"x__set":1,"a_b":2,"x__":3,"x_":4}', 4),
        ('{"a b":1,"a.b":2,"a":{"b":3}}', '{"a_b":1}', 4),
        ('{"a":1,"a":2}', '{"a":1}', 1),
        (f'{{"{"k" * 65}":1}}', f'{{"{"k" * 64}":1}}', 1),
        (f'{{"{"1" * 64}":1}}', f'{{"x_{"1" * 62}":1}}', 1),
        ('{"a":1e999,"b":[1e-999]}', r'{"a":"1e999","b":"[\"1e-999\"]"}', 2),
        ('{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567890}', 0),
        ("[1]", "", 1),
        ('"text"', "", 1),
    ],
)
def test_extras_are_flattened_and_their_keys_repaired(raw: str, kept: str, repaired: int) -> None:
    assert extras(raw) == (kept, repaired)


def test_largest_extras_go_first_and_of_equals_the_latest() -> None:
    values = {"a": "x" * 400, "b": "x" * 500, "c": "x" * 400, "d": 1, "e": "x" * 400}

    kept, repaired = extras(json.dumps(values))

    assert (list(json.loads(kept)), repaired) == (["a", "c", "d"], 2)


def test_json_text_is_left_out_whole() -> None:
    kept, repaired = extras(json.dumps({"a": 1, "b": [["x" * 1100]]}))

    assert (kept, repaired) == ('{"a":1}', 1)


def test_too_many_keys_leave_the_last_out() -> None:
    pairs = [(f"{item}{two}", "1") for item in "abcdefghij" for two in "abcdefghijklmnopqrstu"]
    assert len(pairs) == 210

    kept, _ = extras(_object(pairs))

    # So many are too many characters as well, of which the latest equal ones go.
    assert list(json.loads(kept)) == [key for key, _ in pairs][: len(json.loads(kept))]
    assert len(kept) > EXTRAS_CHARACTERS_MAX - len('"ju":1,')


@given(raw=OBJECTS)
def test_extras_always_fit_and_keep_digits(raw: str) -> None:
    kept, repaired = extras(raw)

    assert len(kept) <= EXTRAS_CHARACTERS_MAX
    found = json.loads(kept, parse_float=Decimal, parse_int=Decimal)
    assert len(found) <= EXTRAS_KEYS_MAX
    assert all(KEY_PATTERN.fullmatch(key) for key in found)
    assert not any(isinstance(value, dict | list) for value in found.values())
    sent = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    for key, value in found.items():
        if repaired == 0 and key in sent and not isinstance(sent[key], dict | list):
            assert value == sent[key]


PLAIN = st.text("abc_", min_size=1, max_size=3)
PLAIN_SCALARS = NUMBERS | st.sampled_from(["true", "false", "null", '"x"', '"{"', '"é"'])
PLAIN_VALUES = PLAIN_SCALARS | st.lists(st.tuples(PLAIN, PLAIN_SCALARS), max_size=3).map(_object)
PLAIN_OBJECTS = st.lists(st.tuples(PLAIN, PLAIN_VALUES), min_size=1, max_size=6).map(_object)


@given(raw=PLAIN_OBJECTS | OBJECTS.filter(lambda raw: raw != "{}"))
def test_extras_do_not_depend_on_how_they_are_spelled(raw: str) -> None:
    plain = raw.replace(": ", ":").replace(", ", ",")
    first = plain[2]
    respelled = plain
    if first.isalpha():
        # Nobody writes a letter so, and what is not written as usual is read member by member.
        respelled = f'{{"\\u{ord(first):04x}{plain[3:]}'

    assert extras(plain) == extras(respelled)


@given(raw=PLAIN_OBJECTS | OBJECTS)
def test_repaired_extras_are_what_is_kept_of_extras(raw: str) -> None:
    kept, _ = extras(raw)

    assert compact_extras(kept.encode()) == kept.encode()


@pytest.mark.parametrize(
    ("raw", "kept", "repaired"),
    [
        ('{"a":"x","b":-5,"c":true,"d":null}', {"a": "x", "b": -5, "c": True, "d": None}, 0),
        ('{"a":1.50,"b":9223372036854775808}', {"a": "1.50", "b": "9223372036854775808"}, 0),
        ('{"a":1e999}', {"a": "1e999"}, 1),
        ('{"a":{"b":1.0},"c":[]}', {"a": '{"b":1.0}', "c": "[]"}, 0),
        ('{"a":"2020-01-31T10:00:00.000Z"}', {"a": "2020-01-31"}, 1),
        ('{"a":"2020-01-31 10:00"}', {"a": "2020-01-31"}, 1),
        ('{"a":"2020-01-32T10:00:00Z"}', {"a": "2020-01-32T10:00:00Z"}, 0),
        ('{"a":"2020-01-31"}', {"a": "2020-01-31"}, 0),
        ('{"first name":"x"}', {"first_name": "x"}, 1),
        (json.dumps({"a": "é" * 1025}), {"a": "é" * 1024}, 1),
        (json.dumps({"a": ["é" * 1025], "b": 1}), {"b": 1}, 1),
        ("7", {}, 1),
    ],
)
def test_tags_are_scalars(raw: str, kept: dict[str, Any], repaired: int) -> None:
    assert tags(raw) == (kept, repaired)


def test_tags_of_the_last_source_count() -> None:
    assert tags('{"a":1,"b":2}', "null", '{"b":3}') == ({"a": 1, "b": 3}, 0)


def test_too_many_tags_leave_the_last_out() -> None:
    sources = [_object([(f"{item}{number}", "1") for number in range(150)]) for item in "ab"]

    kept, repaired = tags(*sources)

    assert (len(kept), repaired) == (TAGS_PER_RECORD_MAX, 100)
    assert list(kept)[-1] == "b49"


@given(raw=OBJECTS)
def test_tags_always_fit(raw: str) -> None:
    kept, _ = tags(raw)

    assert all(KEY_PATTERN.fullmatch(key) for key in kept)
    for value in kept.values():
        assert value is None or isinstance(value, bool | int | str)
        if isinstance(value, str):
            assert len(value) <= TAG_CHARACTERS_MAX
