"""Tests that records read column by column are those that are read one by one."""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect import payload
from engagement.collect.inbox import submission_of
from engagement.collect.payload import Batch, decode_batch, decode_columns, decode_each
from engagement.exceptions import CorruptInputError
from engagement.model.records import Kind
from engagement.model.refused import RefusedRecord
from support.garbage import BAD_FIELDS, BAD_LOGS, HARMLESS, batch_text, garbage

RECEIVED_AT = datetime(2026, 11, 1, 10, 0, 3, tzinfo=UTC)
"""Three seconds after the bodies of `support.garbage` say that they were sent."""
AGE_DAYS_MAX = 300
"""Of live batches; some of the odd times are older."""
DICE = st.randoms(use_true_random=False)
GUID = "0123456789abcdef0123456789abcdef"
TIMES = (
    "2026-11-01T09:59:58.123Z", "2026-11-01T09:59:58.123Z", "2026-11-01t09:59:58z",
    "2026-11-01 09:59:59.9999999Z", "2026-11-01T11:29:59.5+01:30", "2026-11-01T09:59:58-00:00",
    f"2026-11-01T09:59:58.{'1' * 50}Z",
)  # fmt: skip
ENDS = ("2026-11-01T10:00:00Z", "2026-11-01T10:00:02.5Z", "2026-11-01T10:00:30Z")
NAMES = ("tap", "tap", "é" * 64, "\\u0041", "😀\\ud83d\\ude00", "\u200b", "a\\\\b")
IDS = ("null", '"s"', '"s"', f'"{GUID}"', f'"{GUID.upper()}"', f'"{"é" * 256}"')
EXTRAS = (
    "null", "{}", '{"a":1}', '{"a":1}', '{"a":true,"b":null,"c":"é/"}', '{"n":0.1}', '{"n":1.0}',
    '{"a": 1 , "b":2}', '{"a":\n1}', '{"s":"\x7f"}', f'{{"{"k" * 64}":-9}}',
    f'{{"s":"{"x" * 1016}"}}', f'{{"s":"{"é" * 1016}"}}',
)  # fmt: skip
ODD_TIMES = (*ENDS, "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z")
"""Which are kept or not, depending on the clock of the device."""
ODD_NAMES = ("", "x" * 65, "a\\u0000", "\x7f", "\x85")
ODD_IDS = ('""', f'"{"x" * 257}"')
ODD_EXTRAS = (
    f'{{"s":"{"x" * 1017}"}}', f'{{"n":{"9" * 309}}}', f'{{"{"k" * 65}":0}}', '{"é":1}', "[]",
    "{" + ",".join(f'"k{number}":1' for number in range(201)) + "}", '{"a":1,"a":1}', '""',
    '{"o":{"a":[1,{}]}}', '{"o":[]}', '{"\\u0061":1}', '{"n":1e5}', '{"n":-0}',
    f'{{"n":{"9" * 30}}}',
)  # fmt: skip
Maker = Callable[[str, str, str], str]
MAKERS: Sequence[Maker] = (
    lambda name, *_: f'"type":"event","name":"{name}"',
    lambda name, job, _: f'"type":"event","name":"{name}","jobId":{job}',
    lambda name, *_: f'"type":"error","name":"{name}"',
    lambda name, _, end: f'"type":"activity","name":"{name}","end":"{end}"',
    lambda name, *_: f'"type":"activity","name":"{name}","end":null',
    lambda name, job, _: f'"type":"job","name":"{name}","jobId":{job}',
    lambda name, _, end: f'"name":"{name}","type":"job","end":"{end}"',
    lambda name, *_: f'"type":"crash","name":"{name}","stack":"at\\n"',
    lambda *_: '"type":"tags","tags":{"k":"v","n":1}',
    lambda *_: '"type":"token","token":"t","tokenType":"GCM"',
    lambda *_: '"type":"feedback","campaignType":"Poll","campaignId":7,"status":"Queued"',
)

Rows = dict[Kind, list[tuple[object, ...]]]
Outcome = tuple[Batch, Rows, bytes, Sequence[RefusedRecord]] | str | None


def make_log(make: Maker, **fields: str) -> str:
    """A log of some type with these fields, as far as it has them."""
    text = make(fields["name"], fields["job"], fields["end"])
    at, session, extras = (fields[name] for name in ("time", "session", "extras"))
    return f'{{"timestamp":"{at}",{text},"sessionId":{session},"extras":{extras}}}'


def log_text(dice: random.Random, *, odd: str = "") -> str:
    """A log, in the spelling of some sender, of which one field may be odd."""
    fields = {
        "time": ODD_TIMES if odd == "time" else TIMES,
        "name": ODD_NAMES if odd == "name" else NAMES,
        "session": ODD_IDS if odd == "session" else IDS,
        "job": ODD_IDS if odd == "job" else IDS,
        "extras": ODD_EXTRAS if odd == "extras" else EXTRAS,
        "end": TIMES if odd == "end" else ENDS,
    }
    text = make_log(dice.choice(MAKERS), **{name: dice.choice(fields[name]) for name in fields})
    return dice.choice([text, text, f' {text[:-1]} , "unknown":[{{}}] }}\n'])


def outcome(decode: Callable[[], Batch | None]) -> Outcome:
    """What becomes of a body: the batch and what the inbox keeps of it, or why there is none."""
    try:
        batch = decode()
    except CorruptInputError as error:
        return str(error)
    if batch is None:
        return None
    kept = submission_of("a" * 32, batch, received_at=RECEIVED_AT).content(frozenset())
    return replace(batch, columns={}), batch.rows, kept.rows[0].payload, kept.refused


def check_alike(body: bytes, received_at: datetime, *, live: bool) -> None:
    """Fail if a body becomes another thing in columns, or by whichever way the service takes."""
    try:
        payload.check_body(body)
    except CorruptInputError:
        return
    more: dict[str, Any] = {"live": live, "age_days_max": AGE_DAYS_MAX if live else None}
    expected = outcome(lambda: decode_each(body, received_at, **more))
    assert outcome(lambda: decode_columns(body, received_at, **more)) in (None, expected)
    assert outcome(lambda: decode_batch(body, received_at=received_at, **more)) == expected


@given(dice=DICE, late=st.sampled_from([0, 4, 3_600, -3_600]), live=st.booleans())
def test_batches_become_the_same_in_columns(dice: random.Random, late: int, *, live: bool) -> None:
    logs = [log_text(dice) for _ in range(dice.randrange(12))]
    for _ in range(dice.choice([0, 0, 1, 1, 2])):
        odd = log_text(dice, odd=dice.choice(["time", "name", "session", "job", "extras", "end"]))
        log = dice.choice([odd, odd, BAD_LOGS[dice.choice([*BAD_LOGS])](dice)])
        logs.insert(dice.randint(0, len(logs)), log)
    kinds = dice.choice([{}, {}, HARMLESS, BAD_FIELDS])
    more = [kinds[dice.choice([*kinds])](dice)] if kinds else []
    body = batch_text(1, logs, *more).encode()

    check_alike(body, RECEIVED_AT + timedelta(seconds=late), live=live)


@pytest.mark.parametrize(
    ("odd", "values"),
    [
        ("time", ODD_TIMES),
        ("name", ODD_NAMES),
        ("session", ODD_IDS),
        ("job", ODD_IDS),
        ("extras", ODD_EXTRAS),
        ("end", TIMES),
    ],
)
def test_whatever_is_odd_becomes_the_same_in_columns(odd: str, values: Sequence[str]) -> None:
    plain = {"time": TIMES[0], "name": "n", "session": "null", "job": "null", "extras": "null"}
    for value, make, late in itertools.product(values, MAKERS, [0, 3_600, -3_600]):
        fields = {**plain, "end": ENDS[0], odd: value}
        logs = [make_log(make, **fields) for fields in (plain | {"end": ENDS[1]}, fields)]
        body = batch_text(1, [logs[0], *logs]).encode()
        for live in (True, False):
            check_alike(body, RECEIVED_AT + timedelta(seconds=late), live=live)


@given(dice=DICE, live=st.booleans())
def test_garbage_becomes_the_same_in_columns(dice: random.Random, *, live: bool) -> None:
    check_alike(garbage(dice, 1).body, RECEIVED_AT, live=live)


@given(dice=DICE)
def test_good_batches_are_read_in_columns(dice: random.Random) -> None:
    logs = [log_text(dice) for _ in range(9)]

    assert decode_columns(batch_text(1, logs).encode(), RECEIVED_AT, live=True) is not None


def test_only_what_may_be_refused_is_read_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    good = [f'{{"type":"event","name":"tap {n}","timestamp":"{TIMES[0]}"}}' for n in range(100)]

    def fail(*_: object, **__: object) -> Batch:
        raise AssertionError("A good batch must be read in columns.")

    monkeypatch.setattr(payload, "decode_each", fail)
    whole = decode_batch(batch_text(1, good).encode(), received_at=RECEIVED_AT, live=True)
    monkeypatch.undo()
    bad = [*good, '{"type":"event","name":"","timestamp":"now"}']
    rest = decode_batch(batch_text(1, bad).encode(), received_at=RECEIVED_AT, live=True)

    assert (whole.accepted, rest.accepted) == (100, 100)
    assert whole.rows == rest.rows
    assert [refusal.index for refusal in rest.refused] == [100]
