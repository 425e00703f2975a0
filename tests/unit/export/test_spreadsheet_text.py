"""Tests what a spreadsheet is given: nothing that it would run, and texts that it leaves alone."""

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement.export.fields import shape_of
from engagement.export.formats import Encoding, encode
from engagement.model.exports import ExportFormat, ExportType
from engagement.model.records import Kind

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
AT = datetime(2026, 3, 1, tzinfo=UTC)
LIKE_NUMBERS = [
    "0012", "1", "1.5", "1e5", "12345678901234567890123456789012",
    "5e100000000000000000000000000000",
    "1,000", "$5", "5 %", "€ 7,50", "(3)", "1/2", "1-2", "2026-03-01", "2026-03-01T10:00:00Z",
    "10:30", "10:30 AM", "1 1/2", "12E3", "Mar 1", "MARCH1", "1-mar-2026", "3 Dez", "TRUE", "false",
    "\uff11\uff12",
]  # fmt: skip
RUN = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\uff1d1"]
LEFT_ALONE = [
    "home", "checkout_2 done", "a3f09c5e7d1b4f60a3f09c5e7d1b4f60", "screen12", "", "truely",
    "3 apples", "Märchen", "x=1", '{"a":1}',
]  # fmt: skip
cells = st.one_of(
    st.sampled_from([*LIKE_NUMBERS, *RUN, *LEFT_ALONE, "'", "'=1", "''1"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.text("0123456789eE.,:/-+=@' \t\r\n\"", max_size=8),
    st.integers().map(str),
    st.decimals(allow_nan=False).map(str),
    st.dates().map(str),
)


def file_of(values: list[str], types: list[str] | None = None) -> bytes:
    """The file for a spreadsheet of tags with these values, their key and user alike."""
    rows = pl.DataFrame(
        {
            "device_id": [f"{place:032d}" for place in range(len(values))],
            "user_id": values,
            "key": values,
            "value": values,
            "value_type": types or ["string"] * len(values),
            "set_at": [AT] * len(values),
        },
        schema_overrides={
            "user_id": pl.String, "key": pl.String, "value": pl.String, "value_type": pl.String,
            "device_id": pl.String, "set_at": pl.Datetime("us", "UTC"),
        },
    )  # fmt: skip
    encoding = Encoding(
        kind=Kind.TAG,
        shape=shape_of(ExportType.TAG),
        export_format=ExportFormat.CSV,
        for_excel=True,
    )
    return b"".join(bytes(chunk.data) for chunk in encode([rows.lazy()], encoding))


def rows_of(data: bytes) -> list[list[str]]:
    """The cells below the header, as Python's own reader has them."""
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))[1:]


def is_taken_for_a_number(cell: str) -> bool:
    """Whether a reader of numbers takes the cell, with the signs that people write beside them."""
    bare = re.sub(r"[\s,%$€()]", "", cell)
    try:
        return Decimal(bare).is_finite()
    except InvalidOperation:
        return bare.lower() in {"true", "false"}


@given(st.lists(cells, max_size=20))
@example(LIKE_NUMBERS)
@example(RUN)
def test_no_cell_is_run_or_read_as_anything_but_text(values: list[str]) -> None:
    data = file_of(values)

    assert data.startswith(BYTE_ORDER_MARK + b"deviceId,")
    for device_id, *texts, kind in rows_of(data):
        assert kind == "string"
        for cell in (device_id, *texts):
            assert not cell.strip().startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff20"))
            assert not is_taken_for_a_number(cell)


@given(st.lists(cells, max_size=20))
def test_whoever_takes_one_apostrophe_off_has_what_was_sent(values: list[str]) -> None:
    rows = rows_of(file_of(values))

    assert [[cell.removeprefix("'") for cell in row] for row in rows] == [
        [f"{place:032d}", value, value, value, "string"] for place, value in enumerate(values)
    ]


@pytest.mark.parametrize("value", [*LIKE_NUMBERS, *RUN])
def test_what_a_spreadsheet_would_change_has_an_apostrophe(value: str) -> None:
    ((_, user, *_),) = rows_of(file_of([value]))

    assert user == f"'{value}"


@pytest.mark.parametrize("value", LEFT_ALONE)
def test_what_a_spreadsheet_leaves_alone_is_left_alone(value: str) -> None:
    ((_, user, *_),) = rows_of(file_of([value]))

    assert user == value


def test_what_was_sent_as_a_number_stays_one() -> None:
    rows = rows_of(file_of(["12", "-7", "true"], ["integer", "integer", "boolean"]))

    assert [row[3] for row in rows] == ["12", "-7", "true"]


def test_a_file_without_rows_is_one_of_a_spreadsheet_too() -> None:
    assert file_of([]) == BYTE_ORDER_MARK + b"deviceId,userId,key,value,type\r\n"
