"""Tests that the values of batches come out of their packed columns as they went in."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.packed_columns import SEPARATOR, PackedColumn, pack_column
from engagement.collect.record_tables import unpack_columns

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5) | st.just(f"a{SEPARATOR}b")
INTEGERS = st.integers(-(2**63), 2**63 - 1)
KINDS_OF_VALUES = {
    pl.String(): TEXTS,
    pl.Int64(): INTEGERS,
    pl.Boolean(): st.booleans(),
}


@st.composite
def batches_of_a_column(
    draw: st.DrawFn,
) -> tuple[pl.DataType, list[list[object]]]:
    """The values of some batches: all null, none null or some."""
    dtype = draw(st.sampled_from(list(KINDS_OF_VALUES)))
    values = KINDS_OF_VALUES[dtype]
    forms = [values, st.none(), st.none() | values]
    batches = st.one_of([st.lists(form, min_size=1, max_size=6) for form in forms])
    return dtype, draw(st.lists(batches, min_size=1, max_size=8))


def kept(values: Sequence[object]) -> PackedColumn:
    """A packed column as it comes out of the inbox."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(pack_column(values)))  # type: ignore[no-any-return]


@given(batches_of_a_column())
def test_values_come_out_as_they_went_in(sent: tuple[pl.DataType, list[list[object]]]) -> None:
    dtype, batches = sent

    column = unpack_columns("x", dtype, list(map(kept, batches)), list(map(len, batches)))

    assert (column.name, column.dtype) == ("x", dtype)
    assert column.to_list() == [value for values in batches for value in values]


@pytest.mark.parametrize(
    ("values", "packed"),
    [
        ((None, None), None),
        (("a", "", "b"), "a\0\0b"),
        ((1, -1), b"\1\0\0\0\0\0\0\0" + b"\xff" * 8),
        (("a", None), ["a", None]),
        ((None, "a"), [None, "a"]),
        (("a\0b",), ["a\0b"]),
        ((1, None), [1, None]),
        ((True, False), [True, False]),
    ],
)
def test_form_of_what_is_kept(values: tuple[object, ...], packed: object) -> None:
    assert kept(values) == packed


def test_times_are_microseconds() -> None:
    dtype = pl.Datetime("us", "UTC")

    columns = [
        unpack_columns("at", dtype, [pack_column(values)], [len(values)])
        for values in ([0, 1_500_000], [None, 1_500_000])
    ]

    at = datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert [column.dtype for column in columns] == [dtype, dtype]
    assert columns[0].to_list() == [datetime(1970, 1, 1, tzinfo=UTC), at]
    assert columns[1].to_list() == [None, at]
