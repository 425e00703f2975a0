"""Tests that the reference of tracking messages tells what becomes of them."""

import re
from datetime import UTC, datetime

from engagement.collect.protocols.segment.bodies import MESSAGES_PER_BODY_MAX
from engagement.collect.protocols.segment.mapping import CRASH_NAME, ERROR_NAMES, PUSH_STATUSES
from engagement.collect.protocols.segment.messages import read_messages
from engagement.model.records import Kind
from support.checkout import ROOT
from support.tracking_messages import records

TEXT = (ROOT / "docs" / "reference" / "tracking-messages.md").read_text()
CODES = {"bad_field", "unknown_type", "no_device", "bad_name", "bad_string", "too_deep", "too_old"}
CODES |= {"bad_json"}


def test_every_refusal_code_is_explained_and_no_other() -> None:
    table = TEXT.split("## Refusals")[1]

    assert set(re.findall(r"^\| `([a-z_]+)` \| [A-Z`]", table, re.MULTILINE)) == CODES


def test_example_does_what_the_reference_says() -> None:
    example = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0]
    found = read_messages(example.encode(), received_at=datetime(2026, 3, 1, 13, tzinfo=UTC))
    (batch,), (refused,) = found.batches(), found.list_refused()

    assert refused.code == "bad_name"
    assert f"`{records(batch)[Kind.EVENT][0]['extras']}`" in TEXT
    assert records(batch)[Kind.TOKEN][0]["type"] == "GCM"


def test_every_event_name_with_a_meaning_is_in_the_reference() -> None:
    words = {CRASH_NAME, *ERROR_NAMES, *PUSH_STATUSES, *PUSH_STATUSES.values()}

    assert {word for word in words if f"`{word}`" not in TEXT} == set()
    assert f"{MESSAGES_PER_BODY_MAX:,} messages" in TEXT
