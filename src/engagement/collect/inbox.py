"""Accepts batches durably and once, and encodes what the inbox keeps of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from engagement.collect.packed_columns import pack_column
from engagement.collect.payload import Batch
from engagement.model.records import Kind
from engagement.model.refused import RefusedRecord
from engagement.store.queries.inbox import AcceptedContent, InboxQueries, InboxRow, Submission


class StoredRecords(msgspec.Struct, array_like=True, frozen=True):
    """What the inbox keeps of a batch's records of one kind."""

    kind: Kind
    count: int
    columns: list[Any]  # a `PackedColumn` each, in the order of RECORD_COLUMNS


class StoredBatch(msgspec.Struct, array_like=True, frozen=True):
    """What the inbox keeps of a batch: its sender once, and its records by kinds.

    Batches that were accepted by earlier releases have a tuple of `RECORD_COLUMNS` a record. The
    others stand in the same place, so that such a release fails over them rather than lose them.
    """

    device_id: str
    user_id: str | None
    info: dict[str, str | int] | None
    info_id: str | None
    location: dict[str, str] | None
    location_id: str | None
    first_at: int | None
    last_at: int | None
    records: list[StoredRecords] | dict[str, list[tuple]]  # type: ignore[type-arg]
    record_ids: dict[str, list[str]] | None = None


class _Sender(msgspec.Struct, array_like=True, frozen=True):
    """The beginning of a stored batch."""

    device_id: str


_ENCODER = msgspec.msgpack.Encoder()
_SENDER_DECODER = msgspec.msgpack.Decoder(_Sender)
_DECODER = msgspec.msgpack.Decoder(StoredBatch)


def accept(
    queries: InboxQueries, app_id: str, batches: Sequence[Batch], *, received_at: datetime
) -> list[bool]:
    """Return only when the batches are durable, in one transaction shared by all of them.

    A batch whose records were all refused is accepted too: its id must not be accepted later.

    Returns:
        For each batch, whether it is new; one whose id is known was accepted before.
    """
    submissions = [submission_of(app_id, batch, received_at=received_at) for batch in batches]
    return [bool(count) for count in queries.accept(submissions)]


def submission_of(
    app_id: str, batch: Batch, *, received_at: datetime, refused: Sequence[RefusedRecord] = ()
) -> Submission:
    """A batch to be accepted once, by its id, with what was refused of it."""
    kept = AcceptedContent(
        rows=(inbox_row(app_id, batch, received_at=received_at),), refused=refused
    )
    return Submission(
        app_id=app_id, received_at=received_at, keys=(batch.batch_id,), content=lambda _: kept
    )


def decode_stored_batch(row: InboxRow) -> StoredBatch:
    """The batch that an inbox row keeps."""
    return _DECODER.decode(row.payload)


def list_records(batch: StoredBatch) -> list[StoredRecords]:
    """The records of a batch by kinds, also of one that an earlier release accepted."""
    if isinstance(batch.records, list):
        return batch.records
    return [
        StoredRecords(Kind(kind), len(rows), list(zip(*rows, strict=True)))
        for kind, rows in batch.records.items()
        if rows
    ]


def read_sender(row: InboxRow) -> str:
    """The device that sent the batch of an inbox row."""
    return _SENDER_DECODER.decode(row.payload).device_id


def inbox_row(app_id: str, batch: Batch, *, received_at: datetime) -> InboxRow:
    """A batch as the inbox keeps it."""
    return InboxRow(
        app_id=app_id,
        batch_id=batch.batch_id,
        received_at=received_at,
        records=batch.accepted,
        payload=_encode(batch),
    )


def _encode(batch: Batch) -> bytes:
    records = [
        StoredRecords(kind, len(columns[0]), list(map(pack_column, columns)))
        for kind, columns in batch.columns.items()
    ]
    record_ids = None
    if batch.record_ids is not None:
        record_ids = {kind.value: ids for kind, ids in batch.record_ids.items()}
    return _ENCODER.encode(
        StoredBatch(
            device_id=batch.device_id,
            user_id=batch.user_id,
            info=batch.info,
            info_id=batch.info_id,
            location=batch.location,
            location_id=batch.location_id,
            first_at=batch.first_at,
            last_at=batch.last_at,
            records=records,
            record_ids=record_ids,
        )
    )
