"""Makes bodies of tracking messages for tests, and reads what becomes of them."""

import json
from datetime import UTC, datetime
from typing import Any

from engagement.collect.payload import Batch
from engagement.collect.protocols.segment.messages import read_messages
from engagement.model.records import RECORD_COLUMNS, Kind, derive_guid

RECEIVED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECEIVED = 1_772_366_400_000_000
AT = "2026-03-01T11:59:58.000Z"
SENT_AT = "2026-03-01T12:00:00.000Z"
HAPPENED = RECEIVED - 2_000_000
DEVICE = derive_guid("device", "a1")

Json = dict[str, Any]


def message(**fields: Any) -> Json:
    """A track message of a device that only has an anonymous id, two seconds ago."""
    defaults: Json = {"type": "track", "event": "tap", "anonymousId": "a1", "timestamp": AT}
    return {"messageId": "m1", **defaults, **fields}


def body(*messages: Any, **fields: Any) -> bytes:
    """A body of messages, sent at the instant at which it is received."""
    return json.dumps({"batch": list(messages), "sentAt": SENT_AT, **fields}).encode()


def only_batch(sent: bytes) -> Batch:
    """The batch that a body becomes, which must be one, of all of its messages."""
    found = read_messages(sent, received_at=RECEIVED_AT)
    assert found.list_refused() == []
    (batch,) = found.batches()
    assert batch.refused == ()
    assert batch.accepted == len(set(found.ids))
    return batch


def records_of(*messages: Any) -> dict[Kind, list[Json]]:
    """The records that messages of one sender become, by the names of their columns."""
    return records(only_batch(body(*messages)))


def records(batch: Batch) -> dict[Kind, list[Json]]:
    """The records of a batch by the names of their columns."""
    return {
        kind: [
            dict(zip((column.name for column in RECORD_COLUMNS[kind]), row, strict=True))
            for row in rows
        ]
        for kind, rows in batch.rows.items()
    }


def refusal(sent: Any) -> tuple[str, str]:
    """The code and message of a message's refusal; its neighbours must be kept."""
    found = read_messages(
        body(message(messageId="before"), sent, message(messageId="after")),
        received_at=RECEIVED_AT,
    )
    assert [batch.accepted for batch in found.batches()] == [2]
    (refused,) = found.list_refused()
    assert (refused.index, refused.message_id) == (1, found.ids[1])
    return refused.code, refused.message
