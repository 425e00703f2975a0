"""Tests what flushes remember of sessions, jobs and contents, in both databases."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement.model.records import Kind
from engagement.store.queries.sightings import (
    Content,
    SightingKey,
    SightingQueries,
    Sightings,
    Span,
    derive_sighting_keys,
)
from engagement.store.queries.staging import StagingQueries

APP_ID = "a" * 32
NOW = datetime(2026, 3, 1, 12, 30, 15, 123_000, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def keep(engine: sa.Engine, seen: Sightings) -> None:
    StagingQueries(engine).stage_round(APP_ID, [], {}, seen=seen, staged_at=NOW)


def span(key: SightingKey, *, days: int = 0, device_start: datetime | None = None) -> Span:
    return Span(
        key=key,
        day=(NOW + days * ONE_DAY).date(),
        start=NOW + days * ONE_DAY,
        device_start=device_start,
        received_on=(NOW + days * ONE_DAY).date(),
    )


def keys_of(kind: Kind, *ids: tuple[str, str]) -> list[SightingKey]:
    return derive_sighting_keys(
        APP_ID, kind, [(device, f"{int(thing):032x}") for device, thing in ids]
    )


def test_what_was_seen_last_is_known(engine: sa.Engine) -> None:
    sightings = SightingQueries(engine)
    first, second, third = keys_of(Kind.SESSION, ("d", "1"), ("d", "2"), ("e", "1"))

    keep(engine, Sightings(spans=[span(first), span(second, device_start=NOW - ONE_DAY)]))
    keep(engine, Sightings(spans=[span(second, days=3)]))

    found = sightings.spans([first, second, third])
    assert found == {first: span(first), second: span(second, days=3)}


def test_keys_tell_apps_devices_kinds_and_ids_apart() -> None:
    things = [("d", "1" * 32), ("d", "2" * 32), ("e", "1" * 32)]
    keys = [
        key
        for app_id in ("a", "b")
        for kind in (Kind.SESSION, Kind.JOB)
        for key in derive_sighting_keys(app_id, kind, things)
    ]

    assert len(set(keys)) == len(keys)
    assert keys[0].device == keys[1].device != keys[2].device


def test_silent_spans_are_forgotten_and_others_stay(engine: sa.Engine) -> None:
    sightings = SightingQueries(engine)
    old, new = keys_of(Kind.JOB, ("d", "1"), ("d", "2"))
    keep(engine, Sightings(spans=[span(old), replace(span(new), received_on=date(2026, 3, 2))]))

    sightings.forget_spans(date(2026, 3, 2))

    assert set(sightings.spans([old, new])) == {new}
    sightings.drop_spans([new])
    assert sightings.spans([old, new]) == {}


def test_a_device_is_forgotten_alone(engine: sa.Engine) -> None:
    sightings = SightingQueries(engine)
    gone, stays = keys_of(Kind.INFO, ("d", "1"), ("e", "1"))
    contents = [Content(key=key, last_day=NOW.date()) for key in (gone, stays)]
    keep(engine, Sightings(spans=[span(gone), span(stays)], contents=contents))

    sightings.forget_device(APP_ID, "d")

    assert set(sightings.spans([gone, stays])) == {stays}
    assert set(sightings.contents([gone, stays])) == {stays}


def test_old_contents_are_forgotten_by_their_last_day(engine: sa.Engine) -> None:
    sightings = SightingQueries(engine)
    old, used, new = keys_of(Kind.INFO, ("d", "1"), ("d", "2"), ("d", "3"))
    keep(engine, Sightings(contents=[Content(key=key, last_day=NOW.date()) for key in (old, used)]))
    later = (NOW + ONE_DAY).date()
    keep(engine, Sightings(contents=[Content(key=key, last_day=later) for key in (used, new)]))

    sightings.forget_contents([old, used, new], later)

    assert set(sightings.contents([old, used, new])) == {used, new}


edges = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**63 - 1, -(2**63), 2**53 + 1])


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(edges, edges), max_size=5))
def test_every_key_of_64_bits_is_kept_to_its_last_bit(
    engine: sa.Engine, pairs: list[tuple[int, int]]
) -> None:
    keys = [SightingKey(*pair) for pair in dict.fromkeys(pairs)]
    keep(engine, Sightings(spans=[span(key) for key in keys]))

    assert SightingQueries(engine).spans(keys) == {key: span(key) for key in keys}
    SightingQueries(engine).drop_spans(keys)
