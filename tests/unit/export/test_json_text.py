"""Tests that rows become JSON text that any parser reads as what they hold."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.export.fields import Field, FieldType
from engagement.export.json_text import join_pieces, json_object, json_string
from engagement.model.records import NIL_GUID

texts = st.none() | st.text(st.characters(codec="utf-8"))
NAME = Field("name", "name", FieldType.STRING, required=True)
NOTE = Field("note", "note", FieldType.STRING)
IDS = Field("infoId", "info_id", FieldType.GUID, required=True)
NESTED = (
    Field("a", "a", FieldType.INTEGER, parent="inside"),
    Field("b", "b", FieldType.BOOLEAN, parent="inside"),
)
INFO = (
    Field("infoId", "info_id", FieldType.GUID, required=True),
    Field("phoneModel", "phone_model", FieldType.STRING, parent="info"),
    Field("screenWidth", "screen_width", FieldType.INTEGER, parent="info"),
)


def objects(frame: pl.DataFrame, *fields: Field) -> list[object]:
    text = join_pieces(json_object(fields, frame)).alias("text")
    lines = frame.select(pl.first().alias("first"), text)["text"]
    return [json.loads(line) for line in lines]


@given(st.lists(texts))
def test_any_text_is_escaped_as_json_has_it(values: list[str | None]) -> None:
    frame = pl.DataFrame({"text": values}, schema={"text": pl.String()})

    found = frame.select(json_string("text")).to_series()

    assert [None if text is None else json.loads(text) for text in found] == values


@given(st.lists(texts, max_size=4), st.lists(st.integers(0, 3), max_size=200))
def test_text_that_repeats_is_escaped_like_any_other(
    values: list[str | None], places: list[int]
) -> None:
    notes = [values[place % len(values)] for place in places] if values else []
    frame = pl.DataFrame(
        {"name": ["x"] * len(notes), "note": notes}, schema={"name": pl.String, "note": pl.String}
    )
    lines = frame.select(join_pieces(json_object((NAME, NOTE), frame))).to_series().to_list()

    wanted = [{"name": "x"} | ({} if note is None else {"note": note}) for note in notes]
    assert lines == [json.dumps(w, ensure_ascii=False, separators=(",", ":")) for w in wanted]


@given(
    st.lists(st.tuples(texts, st.none() | st.integers(-9, 9)), min_size=1, max_size=4),
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
)
def test_what_an_id_names_is_the_same_in_each_row_that_has_it(
    contents: list[tuple[str | None, int | None]], places: list[int]
) -> None:
    named = [(None, (None, None)), *((f"{n:032x}", values) for n, values in enumerate(contents, 1))]
    rows = [named[place % len(named)] for place in places]
    frame = pl.DataFrame(
        [(info_id, *values) for info_id, values in rows],
        schema={"info_id": pl.String, "phone_model": pl.String, "screen_width": pl.Int64},
        orient="row",
    )

    def expected(info_id: str | None, model: str | None, width: int | None) -> object:
        info = {"phoneModel": model, "screenWidth": width}
        known = {name: value for name, value in info.items() if value is not None}
        return {"infoId": info_id or NIL_GUID} | ({"info": known} if known else {})

    assert objects(frame, *INFO) == [expected(info_id, *values) for info_id, values in rows]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), texts)))
def test_an_optional_member_is_there_where_the_row_has_it(
    rows: list[tuple[str, str | None]],
) -> None:
    frame = pl.DataFrame(rows, schema={"name": pl.String(), "note": pl.String()}, orient="row")
    wanted = [{"name": name} | ({} if note is None else {"note": note}) for name, note in rows]

    assert objects(frame, NAME, NOTE) == wanted
    assert objects(frame, NOTE, NAME) == wanted


def test_an_id_that_is_required_is_nil_where_the_row_lacks_it() -> None:
    frame = pl.DataFrame({"info_id": [None, "a" * 32]}, schema={"info_id": pl.String()})

    assert objects(frame, IDS) == [{"infoId": NIL_GUID}, {"infoId": "a" * 32}]


def test_members_of_one_parent_are_nested_or_absent_together() -> None:
    frame = pl.DataFrame(
        {"name": ["x"] * 3, "a": [1, None, None], "b": [True, False, None]},
        schema={"name": pl.String(), "a": pl.Int64(), "b": pl.Boolean()},
    )

    assert objects(frame, NAME, *NESTED) == [
        {"name": "x", "inside": {"a": 1, "b": True}},
        {"name": "x", "inside": {"b": False}},
        {"name": "x"},
    ]


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000Z"),
        (datetime(1970, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC), "1970-01-01T00:00:00.001Z"),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_written_to_the_millisecond(instant: datetime, text: str) -> None:
    at = Field("at", "at", FieldType.TIMESTAMP, required=True)
    frame = pl.DataFrame({"at": [instant]}, schema={"at": pl.Datetime("us", "UTC")})

    assert objects(frame, at) == [{"at": text}]
