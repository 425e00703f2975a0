"""Tests that changes amount to the same however they are folded, and as of when."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.model.exports import ExportType
from engagement.model.records import JOB_TOLD_BY, Kind
from engagement.store.folds import FOLD_KEYS, fold
from engagement.store.schemas import file_schema
from support.batches import DAY, DEVICES, NOW, batch, feedback, log
from support.home import Home, open_home

SECOND = timedelta(seconds=1)
TOKEN = {"token": "before", "tokenType": "GCM"}
START = NOW - timedelta(days=9)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with open_home(tmp_path_factory.mktemp("folds") / "home") as home:
        yield home


def fields_of(kind: Kind) -> dict[str, st.SearchStrategy[Any]]:
    """What a change of a kind says: few values and few times, so that they meet."""
    seconds = st.integers(0, 4).map(lambda number: START + number * SECOND)
    words = st.sampled_from(["a", "b", None])
    match kind:
        case Kind.DEVICE:
            return {"seen_at": seconds, "info_id": words, "location_id": words, "user_id": words}
        case Kind.TAG:
            return {"key": st.sampled_from(["k", "l"]), "value": words, "set_at": seconds}
        case Kind.TOKEN:
            return {
                "token": st.sampled_from("ab"),
                "registered_at": seconds,
                "valid": st.booleans(),
            }
        case Kind.FEEDBACK:
            status = st.sampled_from(["Queued", "Dropped"])
            return {"campaign_id": st.integers(1, 2), "status": status, "occurred_at": seconds}
        case Kind.JOB:
            return {
                "job_id": st.sampled_from("st"),
                "name": st.sampled_from("mn"),
                "start": seconds,
                "end": st.none() | seconds,
                "device_timestamp": st.none() | seconds,
                "extras": words,
                "user_id": words,
                "info_id": words,
            }
        case _:
            days = st.integers(0, 2).map(lambda number: timedelta(days=number))
            starts = st.tuples(seconds, days).map(lambda item: item[0] + item[1])
            lasting = st.integers(0, 3)
            ids = {"session_id": st.sampled_from("st"), "info_id": words, "location_id": words}
            return {"start": starts, "lasting": lasting, "user_id": words, **ids}


@st.composite
def changes(draw: st.DrawFn, kind: Kind) -> list[dict[str, Any]]:
    """Changes as the batches of a round tell them, in the order in which they came."""
    fields = {"device_id": st.sampled_from(DEVICES[:2]), **fields_of(kind)}
    drawn = draw(st.lists(st.fixed_dictionaries(fields), max_size=8))
    return [
        change_of(kind, item | {"sequence": place}) for place, item in enumerate(drawn, start=1)
    ]


def change_of(kind: Kind, change: dict[str, Any]) -> dict[str, Any]:
    """The change with what a flush derives of it."""
    derived: dict[str, Any] = {"received_at": NOW, "batch_id": str(change["sequence"])}
    if kind is Kind.SESSION:
        seen = change["start"] + change.pop("lasting") * SECOND
        derived["end"] = seen
    elif kind is Kind.DEVICE:
        seen = change["seen_at"]
        derived |= {"first_seen_at": seen, "phone_model": change["info_id"]}
    else:
        if kind is Kind.FEEDBACK:
            derived["first_at"] = change["occurred_at"]
        if kind is Kind.JOB:
            for column, told_by in JOB_TOLD_BY.items():
                derived[told_by] = None if change[column] is None else change["sequence"]
        return derived | change
    for column in ("user", "info", "location"):
        known = change[f"{column}_id"] is not None
        derived[f"{column}_at"] = seen if known else None
    return derived | change


def frame(kind: Kind, rows: list[dict[str, Any]]) -> pl.LazyFrame:
    schema = file_schema(kind)
    complete = [{name: row.get(name) for name in schema} for row in rows]
    return pl.LazyFrame(complete, schema=schema)


def folded(kind: Kind, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return fold(kind, frame(kind, rows)).collect().to_dicts()


@pytest.mark.parametrize("kind", list(FOLD_KEYS))
@settings(max_examples=60)
@given(data=st.data())
def test_folding_some_first_changes_nothing(kind: Kind, data: st.DataObject) -> None:
    """A flush folds its round, upkeep what is old, an export all: any of it, in any order."""
    rows = data.draw(changes(kind))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    shuffled = data.draw(st.permutations(rows))

    at_once = folded(kind, rows)

    assert folded(kind, shuffled) == at_once
    assert folded(kind, at_once) == at_once
    bounds = [0, *cuts, len(rows)]
    parts = [shuffled[low:high] for low, high in itertools.pairwise(bounds)]
    assert folded(kind, [row for part in parts for row in folded(kind, part)]) == at_once


def test_a_time_that_one_report_leaves_out_does_not_depend_on_what_was_folded_first() -> None:
    job = {"device_id": DEVICES[0], "job_id": "s", "name": "m", "start": START}
    times = [None, START, None]
    rows = [
        change_of(
            Kind.JOB, job | dict.fromkeys(JOB_TOLD_BY) | {"device_timestamp": time, "sequence": n}
        )
        for n, time in enumerate(times, start=1)
    ]

    for first in itertools.combinations(rows, 2):
        rest = [row for row in rows if row not in first]
        assert folded(Kind.JOB, [*folded(Kind.JOB, list(first)), *rest]) == folded(Kind.JOB, rows)


def test_kinds_without_changes_come_back_sorted() -> None:
    rows = [
        {"device_id": device, "timestamp": START + second * SECOND, "sequence": number}
        for number, (device, second) in enumerate(itertools.product(DEVICES[:2][::-1], (2, 1)))
    ]

    found = folded(Kind.EVENT, rows)

    assert [row["sequence"] for row in found] == [3, 2, 1, 0]


def model_of(home: Home, **options: Any) -> dict[str, Any]:
    (device,) = home.exported(home.request(ExportType.DEVICE, **options))
    return device


def test_a_device_is_what_the_latest_batch_that_knew_said(home: Home) -> None:
    home.next_app()
    home.take(
        batch(log("event", 30), info={"phoneModel": "new"}, userId="u"),
        batch(log("event", 40), location={"countryCode": "FI"}),
        batch(log("event", 10), info={"phoneModel": "old"}, location={"countryCode": "SE"}),
    )
    home.take(batch(log("event", 20), info={"phoneModel": "late"}, userId="late"))

    device = model_of(home)

    assert (device["phone_model"], device["country_code"], device["user_id"]) == ("new", "FI", "u")
    seconds = {name: device[name] / 1000 % 60 for name in ("first_seen", "last_seen", "last_info")}
    assert seconds == {"first_seen": 10, "last_seen": 40, "last_info": 30}


@pytest.mark.parametrize("is_one_flush", [True, False])
def test_a_snapshot_is_as_of_what_was_received_by_then(home: Home, *, is_one_flush: bool) -> None:
    home.next_app()
    later = NOW + timedelta(hours=1)
    home.accept(
        batch(
            log("tags", 1, tags={"k": "before", "kept": 1}),
            log("token", 1, **TOKEN),
            feedback(1, 1, "Queued"),
            info={"phoneModel": "before"},
        )
    )
    if not is_one_flush:
        home.flush()
    home.take(
        batch(
            log("tags", 2, tags={"k": "after", "kept": None}),
            log("token", 2, **TOKEN, valid=False),
            feedback(2, 1, "Dropped"),
            info={"phoneModel": "after"},
        ),
        received_at=later,
    )

    def exported(kind: ExportType, column: str, **options: Any) -> list[Any]:
        return [row[column] for row in home.exported(home.request(kind, **options))]

    for as_of in (NOW, later - timedelta(microseconds=1)):
        assert exported(ExportType.TAG, "value", as_of=as_of) == ["before", "1"]
        assert exported(ExportType.TOKEN, "token", as_of=as_of) == ["before"]
        assert exported(ExportType.PUSH, "status", as_of=as_of) == [["Queued"]]
        device = model_of(home, as_of=as_of)
        assert (device["phone_model"], device["native_push_enabled"]) == ("before", True)
    for options in ({}, {"as_of": later}):
        assert exported(ExportType.TAG, "value", **options) == ["after"]
        assert exported(ExportType.TOKEN, "token", **options) == []
        assert exported(ExportType.PUSH, "status", **options) == [["Queued", "Dropped"]]
        device = model_of(home, **options)
        assert (device["phone_model"], device["native_push_enabled"]) == ("after", False)
    assert home.exported(home.request(ExportType.DEVICE, as_of=NOW - SECOND)) == []


def test_a_device_seen_at_the_first_instant_is_a_device(home: Home) -> None:
    home.next_app()
    home.take(batch(log("event", name="first", timestamp="1970-01-01T00:00:00Z")))

    assert model_of(home)["first_seen"] == 0


def test_the_tags_of_a_device_name_one_user(home: Home) -> None:
    home.next_app()
    home.take(
        batch(log("tags", 1, tags={"a": 1, "c": 3}), userId="first"),
        batch(log("tags", 2, tags={"b": 2})),
        batch(log("tags", 3, tags={"a": 4}), userId="second"),
        batch(log("tags", 4, tags={"d": 5})),
        batch(log("tags", 4, tags={"d": 5}), device=DEVICES[1]),
    )

    rows = home.exported(home.request(ExportType.TAG))

    users = {(row["device_id"], row["user_id"]) for row in rows}
    assert users == {(DEVICES[0], "second"), (DEVICES[1], None)}
    assert DAY.year == rows[0]["set_at"].year
