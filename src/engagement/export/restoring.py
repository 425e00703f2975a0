"""Reads the records of a delivered export back as rows of the table that they came from."""

from collections.abc import Iterator

import polars as pl

from engagement.client.reading import part_table
from engagement.deliver.destination import Destination
from engagement.exceptions import BadInputError
from engagement.export.fields import Additions, Field, shape_of
from engagement.export.verify import read_part, verify_delivered
from engagement.model.manifest import Manifest
from engagement.model.records import NIL_GUID, TIME_COLUMN, UNFOLDED_KINDS, Kind, own_columns
from engagement.store.schemas import file_schema

_ADDITIONS = Additions(user_id=True, device_timestamp=True, record_id=True)
"""What an export of history may deliver beside a type's own fields, without which a row is less."""


class DeliveredRecords:
    """A delivered export of an app's history, which is what its manifest says."""

    def __init__(self, destination: Destination, folder: str, *, app_id: str, kind: Kind) -> None:
        """Read the export and prove it.

        Raises:
            BadInputError: It cannot give back rows of this table; says why.
            VerificationError: It is not what its manifest says; names the part.
            DestinationError: The manifest or a part is not there, or may not be read.
        """
        if kind not in UNFOLDED_KINDS:
            raise BadInputError(
                f"Rows can be restored of {', '.join(sorted(UNFOLDED_KINDS))}, got {kind.value}: "
                "its records are made of several rows, which an export does not tell apart."
            )
        manifest, _ = verify_delivered(destination, folder)
        _check_source(manifest, app_id, kind)
        self._destination = destination
        self._folder = folder
        self._kind = kind
        self._manifest = manifest
        self._delivered = {name for name, _ in manifest.fields}
        self._wanted = shape_of(manifest.export_type, _ADDITIONS).fields
        missing = [field for field in self._wanted if field.name not in self._delivered]
        _check_fields(missing, kind)
        self.lacking = tuple(field.name for field in missing)
        """The fields that it was asked without; rows come back without them."""

    def read_rows(self) -> Iterator[pl.DataFrame]:
        """The rows of each part, in the order of the export.

        They have the columns of the table's files. Of which batch a row was, and where in it, no
        export says, so `batch_id` and `sequence` are null; times of receipt are in milliseconds.

        Raises:
            VerificationError: A part is not what the manifest says.
            DestinationError: It is not there any more.
        """
        columns = self._columns()
        for part in self._manifest.parts:
            data = read_part(self._destination, self._folder, part)
            table = part_table(self._manifest, part, data)
            yield pl.DataFrame(table).select(columns)

    def _columns(self) -> list[pl.Expr]:
        names = {field.column: field.name for field in self._wanted}
        own_time = names[TIME_COLUMN[self._kind]]
        columns = []
        for column, dtype in file_schema(self._kind).items():
            name = names.get(column)
            value = pl.col(name) if name in self._delivered else pl.lit(None)
            if column == "device_id":
                # The nil id stands for none elsewhere; here it is a device's own.
                value = value.fill_null(NIL_GUID)
            if column == "device_timestamp" and name in self._delivered:
                # An export has the record's time where the table says no other.
                value = pl.when(pl.col(name) != pl.col(own_time)).then(value)
            columns.append(value.cast(dtype).alias(column))
        return columns


def _check_source(manifest: Manifest, app_id: str, kind: Kind) -> None:
    if (manifest.app_id, manifest.export_type.kind) != (app_id, kind):
        raise BadInputError(
            f"The export must be of {kind.value} records of app {app_id}, got "
            f"{manifest.export_type.kind.value} records of app {manifest.app_id}."
        )
    for option, words in {"csvFormulaGuard": "the formula guard", "excel": "excel"}.items():
        if manifest.selection.get(option):
            raise BadInputError(
                f"The export must have values as they were sent, got one with {words}, which "
                "puts an apostrophe before some."
            )


def _check_fields(missing: list[Field], kind: Kind) -> None:
    """Refuse an export that cannot tell which rows are missing, or lacks what every row has."""
    needed = {"device_id", "record_id", "received_at"}
    needed.update(column.name for column in own_columns(kind) if column.required)
    names = [field.name for field in missing if field.column in needed]
    if names:
        raise BadInputError(
            f"The export must have the fields {', '.join(names)}: records are told apart by "
            "recordId, which a JsonBlob has only when asked for it."
        )
