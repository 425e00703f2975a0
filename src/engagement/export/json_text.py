"""Builds JSON text as Polars expressions: a record becomes one string, no Python a row.

Strings are escaped by the engine's own JSON encoder; ids, times and numbers need no escaping, and
extras are canonical JSON already, so they are joined as they are.
"""

from collections.abc import Sequence

import polars as pl

from engagement.export.fields import Field, FieldType
from engagement.model.records import NIL_GUID

TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.3fZ"
"""RFC 3339, UTC, milliseconds."""

Piece = str | pl.Expr
"""A literal, or text that depends on the row."""


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


def json_object(fields: Sequence[Field]) -> list[Piece]:
    """A record as the pieces of a JSON object."""
    pieces: list[Piece] = []
    parents: list[str] = []
    for field in fields:
        if field.parent is None:
            pieces += _member(field)
        elif field.parent not in parents:
            parents.append(field.parent)
            pieces.append(
                _nested([sibling for sibling in fields if sibling.parent == field.parent])
            )
    first = pieces[0]
    if isinstance(first, str):
        return ["{" + first.removeprefix(","), *pieces[1:], "}"]
    # A chosen column comes first that a row may lack: then another one brings the first comma.
    return ["{", join_pieces(pieces).str.strip_prefix(","), "}"]


def _nested(fields: Sequence[Field]) -> pl.Expr:
    """An object member of optional members; nothing where the row has none of them."""
    members = join_pieces([piece for field in fields for piece in _member(field)])
    text = join_pieces([f',"{fields[0].parent}":{{', members.str.strip_prefix(","), "}"])
    return pl.when(members != "").then(text).otherwise(pl.lit(""))


def _member(field: Field) -> list[Piece]:
    """One member with its leading comma; an optional one is empty where the row lacks it."""
    name = f',"{field.name}":'
    if field.required:
        return [name, *_required_value(field)]
    return [join_pieces([name, *json_value(field)]).fill_null("")]


def _required_value(field: Field) -> list[Piece]:
    if field.type is FieldType.GUID:
        return ['"', pl.col(field.column).fill_null(NIL_GUID), '"']
    return json_value(field)


def json_value(field: Field) -> list[Piece]:  # noqa: PLR0911 - one arm a type
    """A field's value as pieces of JSON text; null where the row lacks it."""
    column = pl.col(field.column)
    match field.type:
        case FieldType.GUID:
            return ['"', column, '"']
        case FieldType.TIMESTAMP:
            return ['"', column.dt.strftime(TIMESTAMP_FORMAT), '"']
        case FieldType.STRING:
            return [json_string(field.column)]
        case FieldType.INTEGER | FieldType.BOOLEAN:
            return [column.cast(pl.String())]
        case FieldType.JSON:
            return [column]
        case FieldType.STATUS:
            return ['["', column.list.join('","'), '"]']
        case FieldType.SCALAR:
            is_bare = pl.col(f"{field.column}_type").is_in(["integer", "boolean"])
            return [pl.when(is_bare).then(column).otherwise(json_string(field.column))]
