"""Packs a column of a batch into one value, so that a flush reads thousands of batches quickly.

A round of a flush holds some hundred thousand records. An object for each of their values would
cost more than all else that a flush does; a text or some bytes for each column of a batch do not.
"""

from array import array
from collections.abc import Sequence
from typing import cast

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


def unpack_column(packed: PackedColumn, count: int) -> Sequence[object]:
    """Return the values of a batch, given how many they are."""
    if packed is None:
        return [None] * count
    if isinstance(packed, str):
        return packed.split(SEPARATOR)
    if isinstance(packed, bytes):
        return unpack_integers([packed])
    return packed


def unpack_integers(packed: Sequence[bytes]) -> Sequence[int]:
    """Return whole numbers of some batches, one after another."""
    return array(_INTEGERS, b"".join(packed))
