"""Makes batches of tags that come from outside the app, under the rules of its own."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from engagement.collect.payload import Batch, decode_batch
from engagement.exceptions import CorruptInputError

USER_ID_KEY = "userid"
"""The reserved tag that names a device's user, as in the published API."""


def tag_batch(device_id: str, tags: Mapping[str, object], *, batch_id: str, at: datetime) -> Batch:
    """A batch that sets a device's tags at an instant; a null value deletes its tag.

    It does not count as seeing the device, except where it names the device's user, which is
    kept with when the user was seen.

    Args:
        device_id: The device, as senders write it.
        tags: At least one; values as a native batch has them.
        batch_id: The batch's id.
        at: The instant, aware.

    Raises:
        CorruptInputError: An id, key or value cannot be kept; nothing of it is accepted.
    """
    instant = at.astimezone(UTC).isoformat(timespec="milliseconds")
    content: dict[str, object] = {
        "batchId": batch_id,
        "sentAt": instant,
        "deviceId": device_id,
        "logs": [{"type": "tags", "timestamp": instant, "tags": tags}],
    }
    names_user = USER_ID_KEY in tags
    if names_user:
        if not isinstance(tags[USER_ID_KEY], str):
            raise CorruptInputError(f"The tag {USER_ID_KEY} must be a string: a device keeps one.")
        content["userId"] = tags[USER_ID_KEY]
    batch = decode_batch(json.dumps(content).encode(), received_at=at, live=False)
    if batch.refused:
        raise CorruptInputError(batch.refused[0].message)
    return batch if names_user else replace(batch, first_at=None, last_at=None)
