"""Packs a column of a batch into one value, so that a flush reads thousands of batches quickly.

A round of a flush holds some hundred thousand records. An object for each of their values would
cost more than all else that a flush does; a text or some bytes for each column of a batch do not.
"""

from array import array
from collections.abc import Sequence
from typing import cast

import polars as pl

PackedColumn = None | str | bytes | Sequence[object]
"""The values of a batch's records: None if all are null, texts joined by `SEPARATOR`, whole
numbers as 8 bytes each, else one by one. Text and bytes have neither nulls nor exceptions."""
SEPARATOR = "\0"
_INTEGERS = "q"


def pack_column(values: Sequence[object]) -> PackedColumn:
    """Return values, at least one, as briefly as they can be kept."""
    first = values[0]
    if first is None:
        return None if values.count(None) == len(values) else values
    try:
        if isinstance(first, str):
            text = SEPARATOR.join(cast("Sequence[str]", values))
            return text if text.count(SEPARATOR) == len(values) - 1 else values
        if type(first) is int:  # True and False are of a class of their own
            return array(_INTEGERS, cast("Sequence[int]", values)).tobytes()
    except (TypeError, OverflowError):
        pass  # some are null, of another type or too large
    return values


def unpack_columns(
    name: str, dtype: pl.DataType, packed: Sequence[PackedColumn], counts: Sequence[int]
) -> pl.Series:
    """Return the values of some batches, one after another, as one column.

    Args:
        name: The column's.
        dtype: The column's; times are kept in microseconds since 1970.
        packed: The values of each batch.
        counts: How many they are of each batch; none has none.
    """
    forms = set(map(type, packed))
    if forms == {type(None)}:
        return pl.repeat(None, sum(counts), dtype=dtype, eager=True).alias(name)
    if forms == {str}:
        texts = pl.Series(name, packed, dtype=pl.String())
        return texts.str.split(SEPARATOR).explode(empty_as_null=False)
    if forms == {bytes}:
        integers = array(_INTEGERS, b"".join(cast("Sequence[bytes]", packed)))
        return make_column(name, integers, dtype)
    values: list[object] = []
    for column, count in zip(packed, counts, strict=True):
        values.extend(_unpack(column, count))
    return make_column(name, values, dtype)


def make_column(name: str, values: Sequence[object], dtype: pl.DataType) -> pl.Series:
    """Return values as a column; times are given in microseconds since 1970."""
    if isinstance(dtype, pl.Datetime):
        return pl.Series(name, values, dtype=pl.Int64()).cast(dtype)
    return pl.Series(name, values, dtype=dtype)


def _unpack(packed: PackedColumn, count: int) -> Sequence[object]:
    if packed is None:
        return [None] * count
    if isinstance(packed, str):
        return packed.split(SEPARATOR)
    if isinstance(packed, bytes):
        return array(_INTEGERS, packed)
    return packed
