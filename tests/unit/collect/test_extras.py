"""Tests that extras and tags come out as they went in, or are refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.payload import Batch, decode_batch
from engagement.model.records import Kind

AT = "2026-02-28T23:59:59.123Z"


def decode(extras: str, field: str = "extras") -> Batch:
    log_type = "tags" if field == "tags" else "event"
    log = f'{{"type":"{log_type}","name":"tap","timestamp":"{AT}","{field}":{extras}}}'
    batch = f'{{"batchId":"b","sentAt":"{AT}","deviceId":"d","logs":[{log}]}}'
    return decode_batch(batch.encode(), received_at=datetime(2026, 3, 1, tzinfo=UTC), live=False)


def kept(extras: str) -> str | None:
    batch = decode(extras)
    assert batch.refused == ()
    text = batch.rows[Kind.EVENT][0][4]
    assert text is None or isinstance(text, str)
    return text


def refusal(extras: str, field: str = "extras") -> str:
    batch = decode(extras, field)
    assert batch.rows == {}
    return batch.refused[0].code


def exact(text: str) -> Any:
    """JSON as Python reads it, with every number exact."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


KEYS = st.from_regex(r"[a-zA-Z][a-zA-Z_0-9]{0,63}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers().map(str)
NUMBERS = (
    INTEGERS
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.decimals(-(10**9), 10**9, allow_nan=False).map(lambda number: f"{number:f}")
)
SCALARS = NUMBERS | st.sampled_from(["true", "false", "null"]) | TEXTS.map(json.dumps)
WRITTEN = st.sampled_from([", ", ",", " ,\n\t"])


@given(
    extras=st.dictionaries(KEYS, SCALARS, max_size=8), comma=WRITTEN, colon=st.sampled_from("::")
)
def test_any_extras_come_out_as_they_went_in(
    extras: dict[str, str], comma: str, colon: str
) -> None:
    sent = "{" + comma.join(f'"{key}"{colon} {value}' for key, value in extras.items()) + "}"
    batch = decode(sent)

    if batch.refused:
        assert batch.refused[0].code == "extras_too_long"
        return
    text = batch.rows[Kind.EVENT][0][4]
    assert isinstance(text, str)
    assert exact(text) == exact(sent)
    assert list(exact(text)) == list(extras)


@pytest.mark.parametrize(
    "number",
    [
        "0", "-0", "-0.0", "1E5", "1e+05", "1.50", "9007199254740993", "18446744073709551616",
        "123456789012345678901234567890", "0.1000000000000000055511151231257827",
        "1.7976931348623157e308", "5e-324", "0e999", "-0.000e-400",
    ],
)  # fmt: skip
def test_number_keeps_its_digits_unless_they_mean_the_same(number: str) -> None:
    text = kept(f'{{"n":{number},"in":[{number}]}}')

    assert text is not None
    assert exact(text)["n"] == Decimal(number)
    assert exact(text)["n"].is_signed() == Decimal(number).is_signed()
    assert exact(exact(text)["in"]) == [Decimal(number)]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400", "-1E-999", "9" * 400])
def test_number_that_no_double_comes_near_is_refused(number: str) -> None:
    assert refusal(f'{{"n":{number}}}') == "number_out_of_range"
    assert refusal(f'{{"n":[{{"deep":{number}}}]}}') == "number_out_of_range"


def test_compact_text_is_kept_byte_for_byte() -> None:
    text = '{"a":"say \\"hi\\"\\n","b":-1.5,"c":true,"d":null,"e":"👗é\\u0000","f":""}'

    assert kept(text) == text


def test_spaces_and_escapes_are_spelled_compactly() -> None:
    sent = '{ "a" : "\\u00e9\\/\\ud83d\\ude00", "b" : 1.50 }'

    assert kept(sent) == '{"a":"é/😀","b":1.50}'


def test_nested_value_is_kept_as_its_json_text() -> None:
    text = kept('{"a": {"x" : [1, 2.50, {"y": "\\u00e9\\""}]}, "b": [], "c": 1}')

    assert text is not None
    assert json.loads(text) == {"a": '{"x":[1,2.50,{"y":"é\\""}]}', "b": "[]", "c": 1}


def test_absent_null_and_empty_extras() -> None:
    assert kept("null") is None
    assert kept("{}") == "{}"


@pytest.mark.parametrize("extras", ["[]", '"text"', "5", "true"])
def test_extras_that_are_no_object_are_refused(extras: str) -> None:
    assert refusal(extras) == "bad_extras"


@pytest.mark.parametrize(
    "key",
    ["", "1a", "_a", "a b", "a-b", "a.b", "é", "aé", "a\\n", "a" * 65, "a\\u0000", "a ", "\uff41"],
)
def test_bad_key_is_refused(key: str) -> None:
    assert refusal(f'{{"good":1,"{key}":1}}') == "bad_extras"
    assert refusal(f'{{"good":1,"{key}":1}}', "tags") == "bad_tag"


def test_key_of_the_longest_length_is_kept() -> None:
    text = f'{{"{"a" * 64}":1,"A_9":2}}'

    assert kept(text) == text


@pytest.mark.parametrize(
    "extras",
    ['{"a":1,"a":2}', '{"a":1,"\\u0061":1}', '{"a":{"b":1,"b":1}}', '{"a":[{"b":1,"b":2}]}'],
)
def test_key_twice_is_refused(extras: str) -> None:
    assert refusal(extras) == "duplicate_key"
    assert refusal('{"a":1,"b":"x","a":1}', "tags") == "duplicate_key"


@pytest.mark.parametrize("filler", ["x", "é", "👗"])
def test_extras_are_limited_in_characters_of_compact_json(filler: str) -> None:
    longest = '{"a":"' + filler * (1024 - 8) + '"}'

    assert kept(longest) == longest
    assert kept(longest.replace(":", " : ")) == longest
    assert refusal(longest.replace(filler, filler * 2, 1)) == "extras_too_long"


def test_nested_extras_are_measured_as_they_were_sent() -> None:
    nested = '{"a":{"b":"' + '\\"' * 500 + '"}}'

    text = kept(nested)

    assert text is not None
    assert json.loads(json.loads(text)["a"]) == {"b": '"' * 500}


def test_extras_are_limited_in_keys() -> None:
    def with_keys(count: int) -> str:
        names = [a + b for a in "abcdefghijklmnop" for b in "abcdefghijklmnop"][:count]
        return "{" + ",".join(f'"{name}":' for name in names).replace(":", ":0") + "}"

    # 127 keys of two letters fill 1,024 characters, so the limit of keys cannot be met alone.
    assert len(exact(kept(with_keys(127)) or "")) == 127
    assert refusal(with_keys(201)) == "bad_extras"


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ('"text \\ud83d\\ude00"', ("text 😀", "string")),
        ('""', ("", "string")),
        ('"' + "x" * 1024 + '"', ("x" * 1024, "string")),
        ("0", ("0", "integer")),
        ("-0", ("0", "integer")),
        ("9223372036854775807", ("9223372036854775807", "integer")),
        ("-9223372036854775808", ("-9223372036854775808", "integer")),
        ("true", ("true", "boolean")),
        ("false", ("false", "boolean")),
        ('"true"', ("true", "string")),
        ('"2024-02-29"', ("2024-02-29", "date")),
        ('"2026-02-29"', ("2026-02-29", "string")),
        ('"2026-2-9"', ("2026-2-9", "string")),
        ("null", (None, None)),
    ],
)
def test_tag_value_has_a_type(value: str, row: tuple[str | None, str | None]) -> None:
    batch = decode(f'{{"k":{value}}}', "tags")

    assert [item[:3] for item in batch.rows[Kind.TAG]] == [("k", *row)]


@pytest.mark.parametrize(
    "tags",
    [
        '{"k":1.5}',
        '{"k":1e-3}',
        '{"k":9223372036854775808}',
        '{"k":9223372036854775808.0}',
        '{"k":1e19}',
        '{"k":-9223372036854775809}',
        '{"k":{}}',
        '{"k":[1]}',
        '{"k":"' + "x" * 1025 + '"}',
        '{"good":1,"k":[]}',
        "{}",
        "[]",
        "null",
        '"k"',
        "{" + ",".join(f'"k{number}":1' for number in range(201)) + "}",
    ],
)
def test_bad_tag_refuses_its_log_whole(tags: str) -> None:
    assert refusal(tags, "tags") == "bad_tag"
