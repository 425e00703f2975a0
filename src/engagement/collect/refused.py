"""Makes refused records of what could not be accepted, each to be replayed alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from engagement.collect.payload import Batch, split_batch
from engagement.collect.protocols.segment.outcomes import RefusedMessage
from engagement.exceptions import EngagementError
from engagement.model.limits import BATCH_ID_CHARACTERS_MAX
from engagement.model.records import derive_guid
from engagement.model.refused import RefusedRecord, SenderProtocol

REFUSED_BYTES_MAX = 1024 * 1024
"""What is kept of one refused record, or of a whole body that could not be read."""
REPEATED_BYTES_MAX = 1024 * 1024
"""What a batch says of its device may take so much, repeated with each refused record of it. Where
it would take more, the accepted rest of the batch tells it alone."""


def make_refused_records(
    body: bytes, batch: Batch, *, app_id: str, received_at: datetime
) -> list[RefusedRecord]:
    """What is kept of each record of a native batch that was refused, in their order.

    Its body is a batch of that record alone. Its id depends on the batch's id and the record's
    place, so that a replay is accepted once and does not collide with what was accepted at first.

    Args:
        body: The batch as it was sent, plain.
        batch: What it was decoded to.
        app_id: The app it was sent to.
        received_at: When it was received, aware.
    """
    if not batch.refused:
        return []
    ids = {refusal.index: _log_batch_id(batch.batch_id, refusal.index) for refusal in batch.refused}
    bodies = split_batch(body, ids, repeated_bytes_max=REPEATED_BYTES_MAX)
    return [
        _make_bounded(
            app_id=app_id,
            protocol=SenderProtocol.NATIVE,
            received_at=received_at,
            batch_id=ids[refusal.index],
            code=refusal.code,
            message=refusal.message,
            body=alone,
        )
        for refusal, alone in zip(batch.refused, bodies, strict=True)
    ]


def make_refused_message_records(
    refused: Sequence[RefusedMessage], *, app_id: str, received_at: datetime
) -> list[RefusedRecord]:
    """A record for each tracking message that was refused, in their order.

    Args:
        refused: The messages.
        app_id: The app they were sent to.
        received_at: When they were received, aware.
    """
    return [
        _make_bounded(
            app_id=app_id,
            protocol=SenderProtocol.TRACKING,
            received_at=received_at,
            batch_id=refusal.message_id,
            code=refusal.code,
            message=refusal.message,
            body=refusal.body,
        )
        for refusal in refused
    ]


def make_unreadable_record(
    body: bytes,
    error: EngagementError,
    *,
    app_id: str,
    protocol: SenderProtocol,
    received_at: datetime,
) -> RefusedRecord:
    """The record of a whole body that could not be decoded, kept as it is up to a limit.

    Args:
        body: The body as it was sent, plain where it could be expanded.
        error: Why it could not be decoded.
        app_id: The app it was sent to.
        protocol: How it should have been written.
        received_at: When it was received, aware.
    """
    return _make_bounded(
        app_id=app_id,
        protocol=protocol,
        received_at=received_at,
        batch_id=None,
        code=error.code,
        message=str(error),
        body=body,
    )


def _make_bounded(*, message: str, body: bytes, **named: Any) -> RefusedRecord:
    """A refused record whose body is cut to what is kept of one, and which says so."""
    if len(body) > REFUSED_BYTES_MAX:
        message += f" Only the first {REFUSED_BYTES_MAX} of its {len(body)} bytes are kept."
    return RefusedRecord(message=message, body=body[:REFUSED_BYTES_MAX], **named)


def _log_batch_id(batch_id: str, index: int) -> str:
    made = f"{batch_id}#{index}"
    return made if len(made) <= BATCH_ID_CHARACTERS_MAX else derive_guid(batch_id, str(index))
