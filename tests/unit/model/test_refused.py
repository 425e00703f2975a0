"""Tests that a refused record has its time in full and does not show what was sent."""

from dataclasses import replace

import pytest

from engagement.model.refused import RefusedRecord, SenderProtocol
from support.batches import NOW
from support.home import APP_ID

RECORD = RefusedRecord(
    app_id=APP_ID,
    protocol=SenderProtocol.NATIVE,
    received_at=NOW,
    batch_id="b",
    code="bad_name",
    message="why",
    body=b"what a person wrote",
)


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an offset"):
        replace(RECORD, received_at=NOW.replace(tzinfo=None))


def test_what_was_sent_is_not_shown() -> None:
    assert "person" not in repr(RECORD)
