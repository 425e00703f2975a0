"""Tests who uses a device, and which push token reaches it."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engagement.model.records import Kind
from engagement.store.schemas import file_schema
from engagement.store.snapshots import name_users, users_of_devices, valid_tokens
from support.batches import DEVICES, NOW

FIRST, SECOND = DEVICES[:2]


def after(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def changes(kind: Kind, *records: dict[str, Any]) -> pl.LazyFrame:
    schema = file_schema(kind)
    rows = [
        {name: {"sequence": number, "received_at": NOW, **record}.get(name) for name in schema}
        for number, record in enumerate(records)
    ]
    return pl.LazyFrame(rows, schema=schema)


def token(device: str, text: str, seconds: int, *, valid: bool = True) -> dict[str, Any]:
    """A change of a device's token."""
    return {
        "device_id": device,
        "type": "GCM",
        "token": text,
        "registered_at": after(seconds),
        "valid": valid,
    }


def reached(*records: dict[str, Any]) -> dict[str, str]:
    """The token of each device, after these changes."""
    all_changes = changes(Kind.TOKEN, *records)
    found = valid_tokens(all_changes, all_changes).collect()
    return dict(zip(found["device_id"], found["token"], strict=True))


def test_the_user_who_came_last_uses_the_device() -> None:
    reports = changes(
        Kind.DEVICE,
        {"device_id": FIRST, "user_id": "ada", "user_at": after(2)},
        {"device_id": FIRST, "user_id": "bob", "user_at": after(1)},
        {"device_id": FIRST},
        {"device_id": SECOND},
    )

    assert users_of_devices(reports).collect().rows() == [(FIRST, "ada")]


def test_a_row_is_named_after_who_uses_its_device_now() -> None:
    rows = pl.LazyFrame({"device_id": [FIRST, SECOND], "user_id": ["old", "old"]})
    reports = changes(Kind.DEVICE, {"device_id": FIRST, "user_id": "ada", "user_at": NOW})

    named = name_users(rows, reports).collect().sort("device_id")

    assert named.select("device_id", "user_id").rows() == [(FIRST, "ada"), (SECOND, None)]


def test_the_newest_token_of_a_type_reaches_a_device() -> None:
    assert reached(token(FIRST, "new", 2), token(FIRST, "old", 1)) == {FIRST: "new"}


def test_a_token_that_was_taken_back_reaches_nobody() -> None:
    assert reached(token(FIRST, "a", 1), token(FIRST, "a", 2, valid=False)) == {}


def test_taking_back_an_older_token_leaves_the_newer_one() -> None:
    reports = [token(FIRST, "old", 1), token(FIRST, "new", 2), token(FIRST, "old", 3, valid=False)]

    assert reached(*reports) == {FIRST: "new"}


def test_a_token_that_was_taken_back_may_come_again() -> None:
    reports = [token(FIRST, "a", 1), token(FIRST, "a", 2, valid=False), token(FIRST, "a", 3)]

    assert reached(*reports) == {FIRST: "a"}


def test_a_token_belongs_to_the_device_that_registered_it_last() -> None:
    assert reached(token(FIRST, "a", 1), token(SECOND, "a", 2)) == {SECOND: "a"}
