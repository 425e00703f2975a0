"""Tests that the JSON Schema of native batches and the decoder agree."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.payload import decode_batch
from engagement.collect.records import RECORD_TYPES
from engagement.exceptions import CorruptInputError
from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from support.checkout import ROOT

REFERENCE = ROOT / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "native-batch.schema.json").read_text())
# ECMA's meaning of `$`, which is the end and never a line feed before it, as Python has it.
VALIDATOR = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)
UNSAYABLE = {"extras_too_long", "number_out_of_range", "end_before_start"}
"""Why logs are refused that a schema cannot tell from good ones."""

Json = dict[str, Any]

EXAMPLES = [
    json.loads(text)
    for text in re.findall(
        r"```json\n(.*?)```", (REFERENCE / "native-batches.md").read_text(), re.DOTALL
    )
]
GOOD: Json = EXAMPLES[0]
"""A batch of one log of each type."""


def refusals(batch: Any) -> set[str]:
    """Why the decoder refuses logs of a batch, or all of it; empty if it accepts it whole."""
    body = json.dumps(batch).encode()
    try:
        decoded = decode_batch(body, received_at=datetime(2030, 1, 1, tzinfo=UTC), live=False)
    except CorruptInputError:
        return {"CorruptInput"}
    return {refusal.code for refusal in decoded.refused}


# Away from the first and last day of the years that are kept, where an offset decides.
DAYS = st.datetimes(datetime(1970, 1, 3), datetime(9999, 12, 29))  # noqa: DTZ001 - zones follow
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.builds(lambda day, zone: day.replace(tzinfo=zone).isoformat(), DAYS, ZONES)
LINES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=64)
IDS = st.text(min_size=1, max_size=256)
KEYS = st.from_regex(r"\A[a-zA-Z][a-zA-Z_0-9]{0,63}\Z")
WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.floats(allow_nan=False,
    allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
EXTRAS = st.none() | st.dictionaries(KEYS, VALUES, max_size=4)
TAGS = st.dictionaries(
    KEYS,
    st.none() | st.booleans() | WHOLE | st.text(max_size=1024),
    min_size=1,
    max_size=4,
)
LOGS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("activity"), "timestamp": TIMES, "name": LINES},
        optional={"sessionId": st.none() | IDS, "end": st.none() | TIMES, "extras": EXTRAS},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["event", "error"]), "timestamp": TIMES, "name": LINES},
        optional={"sessionId": IDS, "jobId": st.none() | IDS, "extras": EXTRAS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("crash"), "timestamp": TIMES, "name": LINES, "stack": st.text()},
        optional={"sessionId": st.none() | IDS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("job"), "timestamp": TIMES, "name": LINES},
        optional={"jobId": IDS, "end": TIMES, "extras": EXTRAS},
    ),
    st.fixed_dictionaries({"type": st.just("tags"), "timestamp": TIMES, "tags": TAGS}),
    st.fixed_dictionaries(
        {"type": st.just("token"), "timestamp": TIMES, "token": LINES, "tokenType": LINES},
        optional={"valid": st.booleans()},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("feedback"),
            "timestamp": TIMES,
            "campaignType": st.sampled_from([item.value for item in CampaignType]),
            "campaignId": st.integers(0, 2**63 - 1),
            "status": st.sampled_from(FEEDBACK_STATUSES),
        }
    ),
)
INFO = st.dictionaries(
    st.sampled_from(sorted(SCHEMA["properties"]["info"]["properties"])),
    WHOLE | st.none() | st.text(max_size=256),
    max_size=4,
)
BATCHES = st.fixed_dictionaries(
    {"batchId": LINES, "sentAt": TIMES, "deviceId": IDS, "logs": st.lists(LOGS, max_size=4)},
    optional={
        "userId": st.none() | IDS,
        "info": st.none() | INFO,
        "location": st.none() | st.dictionaries(st.sampled_from(["region", "locality"]), LINES),
    },
)
ODD_VALUES = st.sampled_from(
    [
        *(None, True, 0, -1, 1.5, 2**63, -(2**63) - 1, [], {}, [1], "", " ", "x", "a\n", "\x85"),
        *("x" * 64, "x" * 65, "x" * 100, "x" * 101, "x" * 256, "x" * 257, "x" * 1025, "x" * 4097),
        *({"a": 1}, {"a": 1.5}, {"a": {"b": [1]}}, {"a-b": 1}, {"": 1}, {"a\n": 1}, {"é": 1}),
        *({"a": 2**63}, {"a": "x" * 1025}, {"k" * 64: None}, {"k" * 65: None}),
        {f"k{number}": 1 for number in range(201)},
        *("2026-03-01T12:00:00Z", "2026-03-01t12:00:00.123456789z", "2026-03-01T12:00:00"),
        *("2026-02-30T12:00:00Z", "2026-03-01 12:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01"),
        *("2026-03-01T23:59:60Z", "2026-03-01T12:00:00+24:00", "1969-12-30T12:00:00Z", "noon"),
        *("activity", "error", "tags", "dance", "Queued", "queued", "Poll", "poll"),
    ]
)
MISSING = "a field that is left out"


@st.composite
def damaged_batches(draw: st.DrawFn) -> Json:
    """Batches with up to two fields replaced, added or left out, at any place."""
    batch = draw(BATCHES)
    places = [batch, *batch["logs"]]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(places))
        field = draw(st.sampled_from([*place, "name", "extras", "end", "unknown"]))
        value = draw(ODD_VALUES | st.just(MISSING))
        if value == MISSING:
            place.pop(field, None)
        else:
            place[field] = value
    return batch


@given(damaged_batches())
def test_the_schema_accepts_what_the_decoder_accepts_whole(batch: Json) -> None:
    refused = refusals(batch)

    is_accepted = VALIDATOR.is_valid(batch)

    if not refused:
        assert is_accepted
    if refused - UNSAYABLE:
        assert not is_accepted, refused


def _changed(*path: str | int, to: Any) -> Json:
    """The good batch with one value replaced; left out if it is `MISSING`."""
    batch: Any = json.loads(json.dumps(GOOD))
    place = batch
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    if to == MISSING:
        del place[path[-1]]
    return dict(batch)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (_changed("batchId", to=MISSING), "CorruptInput"),
        (_changed("batchId", to="b\n"), "CorruptInput"),
        (_changed("deviceId", to=""), "CorruptInput"),
        (_changed("sentAt", to="2026-03-01"), "CorruptInput"),
        (_changed("info", "androidAPILevel", to="34"), "CorruptInput"),
        (_changed("location", "locality", to=75), "CorruptInput"),
        (_changed("logs", to=[GOOD["logs"][0]] * 1001), "CorruptInput"),
        (_changed("logs", 0, to="no log"), "bad_field"),
        (_changed("logs", 0, "type", to="dance"), "unknown_type"),
        (_changed("logs", 0, "timestamp", to=MISSING), "bad_field"),
        (_changed("logs", 0, "timestamp", to="2026-03-01T12:00:00"), "bad_timestamp"),
        (_changed("logs", 1, "name", to="x" * 65), "bad_name"),
        (_changed("logs", 1, "sessionId", to=""), "bad_id"),
        (_changed("logs", 1, "extras", to={"a b": 1}), "bad_extras"),
        (_changed("logs", 3, "stack", to="x" * 262145), "bad_stack"),
        (_changed("logs", 5, "tags", to={}), "bad_tag"),
        (_changed("logs", 5, "tags", "age", to=36.5), "bad_tag"),
        (_changed("logs", 6, "token", to=""), "bad_token"),
        (_changed("logs", 7, "status", to="Seen"), "bad_feedback"),
    ],
)
def test_both_refuse(bad: Json, code: str) -> None:
    assert VALIDATOR.is_valid(GOOD)
    assert not VALIDATOR.is_valid(bad)
    assert refusals(bad) == {code}


def test_the_examples_of_the_reference_are_judged_as_it_says() -> None:
    assert [VALIDATOR.is_valid(example) for example in EXAMPLES] == [True, False]


def test_the_schema_names_every_type_of_log() -> None:
    named = [
        item["properties"]["type"] for name, item in SCHEMA["$defs"].items() if name in RECORD_TYPES
    ]

    assert {word for item in named for word in item.get("enum", [item.get("const")])} == set(
        RECORD_TYPES
    )
