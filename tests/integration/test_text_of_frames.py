"""Tests that the text of rows does not depend on which rows are computed together."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engagement.export.fields import shape_of
from engagement.export.formats import Encoding, encode
from engagement.model.exports import ExportFormat, ExportType
from engagement.model.records import NIL_GUID, Kind
from engagement.store.schemas import file_schema
from support.batches import DEVICES, NOW

SESSION = "5" * 32


@st.composite
def event_rows(draw: st.DrawFn) -> pl.DataFrame:
    """Rows of few devices, in which a value may be lacking always, sometimes or never."""
    height = draw(st.integers(1, 40))
    ids = [None, SESSION, NIL_GUID]
    choices: dict[str, list[Any]] = {
        "device_id": sorted(DEVICES[:2]),
        "name": ["a", 'a "b",\r\nc\\ 日本', "", ","],
        "timestamp": [NOW, NOW.replace(year=1969, microsecond=1_999), NOW.replace(year=9999)],
        "info_id": ids,
        "session_id": ids,
        "location_id": ids,
        "job_id": ids,
        "extras": [None, "{}", '{"a":"\\""}'],
    }
    columns = {
        name: draw(
            st.lists(
                st.sampled_from(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))),
                min_size=height,
                max_size=height,
            )
        )
        for name, values in choices.items()
    }
    schema = file_schema(Kind.EVENT)
    return pl.DataFrame(columns, schema={name: schema[name] for name in choices}).sort("device_id")


@given(
    event_rows(),
    st.lists(st.integers(0, 40), max_size=3),
    st.sampled_from([item for item in ExportFormat if item is not ExportFormat.PARQUET]),
)
def test_text_is_the_same_wherever_the_rows_are_cut(
    rows: pl.DataFrame, cuts: list[int], export_format: ExportFormat
) -> None:
    """What rows have in common makes their text cheaper, and is seen in none of it."""
    encoding = Encoding(
        kind=Kind.EVENT, shape=shape_of(ExportType.EVENT), export_format=export_format
    )
    bounds = sorted({0, rows.height, *(min(cut, rows.height) for cut in cuts)})

    def text(bounds: Iterable[int]) -> bytes:
        slices = [rows[low:high].lazy() for low, high in pairwise(bounds)]
        return b"".join(chunk.data for chunk in encode(slices, encoding))

    assert text(bounds) == text(range(rows.height + 1))
