"""Tests that slices keep the order and the bound of memory, and that small files share one."""

from itertools import pairwise
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engagement.model.plan import Part
from engagement.model.records import Kind
from engagement.store.slices import Piece, find_pieces, gather_small

ROWS_MAX = 100
DEVICES = [f"{number:032x}" for number in range(6)]
PIECES = st.builds(
    lambda path, rows, is_whole: Piece(path=path, rows=rows, is_whole=is_whole),
    path=st.uuids().map(str),
    rows=st.none() | st.integers(1, 2 * ROWS_MAX),
    is_whole=st.booleans(),
)


@given(pieces=st.lists(PIECES))
def test_every_piece_comes_once_and_in_its_order(pieces: list[Piece]) -> None:
    slices = list(gather_small(pieces, ROWS_MAX))

    assert [piece for gathered in slices for piece in gathered] == pieces


@given(pieces=st.lists(PIECES))
def test_only_small_whole_files_share_a_slice(pieces: list[Piece]) -> None:
    for gathered in gather_small(pieces, ROWS_MAX):
        if len(gathered) > 1:
            assert all(piece.is_whole for piece in gathered)
            assert sum(piece.rows or 0 for piece in gathered) <= ROWS_MAX


@given(pieces=st.lists(PIECES))
def test_two_slices_behind_one_another_could_not_be_one(pieces: list[Piece]) -> None:
    slices = list(gather_small(pieces, ROWS_MAX))
    for before, after in pairwise(slices):
        first = after[0]
        are_small = before[0].is_whole and first.is_whole and first.rows is not None
        rows = sum(ROWS_MAX if piece.rows is None else piece.rows for piece in before)
        assert not are_small or rows + (first.rows or 0) > ROWS_MAX


def test_row_groups_outside_of_the_range_are_left_out(tmp_path: Path) -> None:
    rows = pl.DataFrame({"device_id": DEVICES, "timestamp": range(6)}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    file = tmp_path / "file.parquet"
    rows.write_parquet(file, row_group_size=2)
    part = Part(
        index=0,
        first_day=None,
        last_day=None,
        device_from=DEVICES[2],
        device_to=DEVICES[4],
        files={Kind.EVENT: (file.name,)},
        rows=None,
        in_order=True,
        is_folded=False,
    )

    (piece,) = find_pieces(str(file), file.name, Kind.EVENT, part)

    assert (piece.offset, piece.rows, piece.is_whole) == (2, 2, False)
