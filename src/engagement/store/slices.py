"""Cuts what a part reads into slices that fit into memory and are worth a query each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engagement.model.plan import Part
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.ranges import RowGroupBounds, may_meet


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of a file that lie behind one another."""

    path: str
    """The file, as its table names it."""
    offset: int = 0
    """The rows of the file before it."""
    rows: int | None = None
    """How many; None means all that follow, however many they are."""
    is_whole: bool = False
    """Whether the file holds no other rows."""


def find_pieces(file: str, path: str, kind: Kind, part: Part) -> Iterator[Piece]:
    """The row groups of a file on a local disk that may hold rows of a part's range."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - as in files.py

    metadata = pq.read_metadata(file)
    columns = [metadata.schema.names.index(name) for name in ("device_id", TIME_COLUMN[kind])]
    offset = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        device, time = (group.column(column).statistics for column in columns)
        if device is None or time is None or may_meet(RowGroupBounds(device, time), part):
            yield Piece(
                path=path,
                offset=offset,
                rows=group.num_rows,
                is_whole=metadata.num_row_groups == 1,
            )
        offset += group.num_rows


def gather_small(pieces: Iterable[Piece], rows_max: int) -> Iterator[list[Piece]]:
    """The pieces in their order, whole files together that hold no more than so many rows.

    A query costs more than reading a day of few rows does.
    """
    gathered: list[Piece] = []
    rows = 0
    for piece in pieces:
        more = rows_max if not piece.is_whole or piece.rows is None else piece.rows
        if gathered and rows + more > rows_max:
            yield gathered
            gathered, rows = [], 0
        gathered.append(piece)
        rows += more
    if gathered:
        yield gathered
