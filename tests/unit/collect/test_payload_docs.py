"""Tests that the reference of native batches tells what the decoder does."""

import re
from datetime import UTC, datetime

from engagement.collect.payload import Batch, decode_batch
from engagement.collect.records import RECORD_TYPES
from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from engagement.model.records import INFO_COLUMNS, Kind
from support.checkout import ROOT

TEXT = (ROOT / "docs" / "reference" / "native-batches.md").read_text()
SOURCES = (ROOT / "src" / "engagement" / "collect").glob("*.py")


def decoded_examples() -> list[Batch]:
    examples = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    return [decode_batch(example.encode(), received_at=now, live=False) for example in examples]


def test_every_refusal_code_is_explained_and_no_other() -> None:
    table = TEXT.split("## Refusals")[1]
    explained = set(re.findall(r"^\| `([a-z_]+)` \| [A-Z`]", table, re.MULTILINE))
    others = (
        "unknown_type|too_old|end_before_start|extras_too_long|duplicate_key|number_out_of_range"
    )
    codes = rf"\"(bad_\w+|{others}|lone_surrogate|non_finite_number)\""
    raised = {code for source in SOURCES for code in re.findall(codes, source.read_text())}

    assert explained == raised


def test_examples_do_what_the_reference_says() -> None:
    first, second = decoded_examples()

    assert (first.accepted, first.refused) == (len(RECORD_TYPES), ())
    assert len(first.rows[Kind.TAG]) == 5
    assert second.accepted == 1
    (refused,) = second.refused
    assert (refused.index, refused.code) == (1, "bad_timestamp")
    assert refused.message in " ".join(TEXT.split())


def test_every_word_that_a_batch_may_use_is_in_the_reference() -> None:
    words = {*RECORD_TYPES, *FEEDBACK_STATUSES, *(item.value for item in CampaignType)}
    words |= {re.sub("_(.)", lambda m: m[1].upper(), column.name) for column in INFO_COLUMNS}

    assert {word for word in words if f"`{word}`" not in TEXT} == set()
