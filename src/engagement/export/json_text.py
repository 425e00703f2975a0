"""Builds JSON text as Polars expressions: a record becomes one string, no Python a row.

The expressions are of one frame of rows: a member that no row has is left out, one that all have
needs no test, and text that repeats is escaped once. Strings are escaped by the engine's own JSON
encoder; ids, times and numbers need no escaping, and extras are canonical JSON already, so they
are joined as they are.
"""

from collections.abc import Callable, Sequence

import polars as pl

from engagement.export.fields import CONTENT_PARENTS, Field, FieldType
from engagement.export.time_text import write_times
from engagement.model.records import NIL_GUID

Piece = str | pl.Expr
"""A literal, or text that depends on the row."""
_SAMPLED_EVERY = 16
_DISTINCT_SHARE_MAX = 0.75
"""Of a sample; then there are about a tenth as many values as rows."""
_TEXT = "_text"


def json_string(column: str) -> pl.Expr:
    """A string column as JSON strings, escaped, with its quotes; null stays null."""
    encoded = pl.struct(pl.col(column).alias("s")).struct.json_encode()
    text = encoded.str.strip_prefix('{"s":').str.strip_suffix("}")
    return pl.when(pl.col(column).is_not_null()).then(text)


def join_pieces(pieces: Sequence[Piece]) -> pl.Expr:
    """The pieces one after another; null where one of them is null."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    return pl.concat_str([pl.lit(piece) if isinstance(piece, str) else piece for piece in merged])


def json_object(fields: Sequence[Field], frame: pl.DataFrame) -> list[Piece]:
    """The frame's records as the pieces of a JSON object."""
    pieces: list[Piece] = []
    parents: list[str] = []
    for field in fields:
        if field.parent is None:
            pieces += _member(field, frame)
        elif field.parent not in parents:
            parents.append(field.parent)
            pieces += _nested(field.parent, fields, frame)
    return _braced(pieces)


def _nested(parent: str, fields: Sequence[Field], frame: pl.DataFrame) -> list[Piece]:
    """The members of one parent as its object; nothing where a row has none of them."""
    members = [field for field in fields if field.parent == parent]
    content_id = CONTENT_PARENTS.get(parent)
    if content_id not in {field.column for field in fields}:
        return _optional_object(parent, members, frame)
    # The id names what all members are, so a row of each id tells the text of all its rows.
    rows = frame.select(content_id, *(field.column for field in members))
    return [
        write_once(
            rows,
            content_id,
            lambda some: join_pieces(["", *_optional_object(parent, members, some)]),
        )
    ]


def _optional_object(parent: str, fields: Sequence[Field], frame: pl.DataFrame) -> list[Piece]:
    pieces = [piece for field in fields for piece in _member(field, frame)]
    if not pieces:
        return []
    name = f',"{parent}":'
    if isinstance(pieces[0], str):
        return [name, *_braced(pieces)]
    members = join_pieces(pieces)
    text = join_pieces([name, "{", members.str.strip_prefix(","), "}"])
    return [pl.when(members != "").then(text).otherwise(pl.lit(""))]


def _braced(pieces: Sequence[Piece]) -> list[Piece]:
    """An object of members that have a leading comma each."""
    if not pieces:
        return ["{}"]
    first = pieces[0]
    if isinstance(first, str):
        return ["{" + first.removeprefix(","), *pieces[1:], "}"]
    # A chosen column comes first that a row may lack: then another one brings the first comma.
    return ["{", join_pieces(pieces).str.strip_prefix(","), "}"]


def _member(field: Field, frame: pl.DataFrame) -> list[Piece]:
    """One member with its leading comma; an optional one is empty where the row lacks it."""
    name = f',"{field.name}":'
    if field.required:
        return [name, *_required_value(field, frame)]
    lacking = frame[field.column].null_count()
    if lacking == frame.height:
        return []
    pieces = [name, *json_value(field, frame)]
    return [join_pieces(pieces).fill_null("")] if lacking else pieces


def _required_value(field: Field, frame: pl.DataFrame) -> list[Piece]:
    if field.type is FieldType.GUID:
        return ['"', pl.col(field.column).fill_null(NIL_GUID), '"']
    return json_value(field, frame)


def json_value(field: Field, frame: pl.DataFrame) -> list[Piece]:  # noqa: PLR0911 - one arm a type
    """A field's value as pieces of JSON text; null where the row lacks it."""
    column = pl.col(field.column)
    match field.type:
        case FieldType.GUID:
            return ['"', column, '"']
        case FieldType.TIMESTAMP:
            return ['"', *write_times(frame[field.column]), '"']
        case FieldType.STRING:
            return [json_strings(field.column, frame)]
        case FieldType.INTEGER | FieldType.BOOLEAN:
            return [column.cast(pl.String())]
        case FieldType.JSON:
            return [column]
        case FieldType.STATUS:
            return ['["', column.list.join('","'), '"]']
        case FieldType.SCALAR:
            is_bare = pl.col(f"{field.column}_type").is_in(["integer", "boolean"])
            text = json_strings(field.column, frame)
            return [pl.when(is_bare).then(column).otherwise(text)]


def json_strings(column: str, frame: pl.DataFrame) -> pl.Expr:
    """A frame's string column as JSON strings."""
    return write_once(frame.select(column), column, lambda _: json_string(column))


def write_once(
    rows: pl.DataFrame, column: str, write: Callable[[pl.DataFrame], pl.Expr]
) -> pl.Expr:
    """Text that depends on the value of one column alone, written once a value if they repeat.

    Args:
        rows: The rows.
        column: The column.
        write: Says the text of some of the rows.
    """
    values = rows[column]
    sample = values.gather_every(_SAMPLED_EVERY)
    if sample.n_unique() > len(sample) * _DISTINCT_SHARE_MAX:
        return write(rows)
    some = rows.unique(column)
    texts = some.select(column, write(some).alias(_TEXT))
    return pl.lit(values.replace_strict(texts[column], texts[_TEXT]))
